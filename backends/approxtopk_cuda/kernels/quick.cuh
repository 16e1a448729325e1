// Stage 2 as quick as can be: for few winners, and threads with nothing else to do.
//
// 1. bound   Each warp takes its threads' best candidates and publishes the r-th of them. If g of the
//            published reach x, g * r candidates do: the ceil(k / r)-th of them is a lower bound of
//            the k-th candidate. With r between k / warps, where these are few, and 3/2 of that, 1.7 to
//            2 k candidates reach it.
// 2. list    These go into one list, whose order does not matter, for
// 3. rank    each place in the output is found by comparing all pairs.
//
// Three barriers, of a block or of all blocks of a cluster. Nothing in the result depends on the
// order of threads.
//
// Candidates are in memory, or (held.cuh) in registers.

// A thread's share of candidates in memory.
template <class Selector> struct StoredCandidates {
  const Selector& selector;

  __device__ u32 count(Key least) const {
    u32 own = 0;
    selector.each([&](u32, Key x) { own += x >= least; });
    return own;
  }
  template <class F> __device__ void each(Key least, const F& f) const {
    selector.each([&](u32 i, Key x) {
      if (x >= least) f(true, x, selector.positions[i]);
    });
  }
  __device__ u32 tell_losses(Key) const { return NOWHERE; }  // they are in memory
  __device__ void list_losses(u32) const {}
  __device__ void learn_losses() const {}
  __device__ void look_at_losses() const {}
};

// BLOCKS share the row; the first has the list.
template <class Team, int BLOCKS> struct Quick {
  static const u32 warps = Team::warps * BLOCKS;
  static const u32 loads = (warps + 31) / 32;
  static const u32 quarters = warps >= 32 ? 6 : warps >= 16 ? 5 : 4;  // of k / warps
  SelectSpace<Team::size>& space;

  __device__ static void sync() {
    if (BLOCKS == 1) return Team::sync();
    cluster_arrive();
    cluster_wait();
  }

  // A key that at least k candidates reach, of which threads know their best.
  __device__ Key bound(u32 k, Key best) const {
    const u32 each = (quarters * k + 4 * warps - 1) / (4 * warps);
    Key rest = best, mine = 0;
#pragma unroll 1
    for (u32 i = 0; i < each; ++i) {  // taking equal ones out together only lowers the bound
      mine = warp_max(rest);
      if (rest == mine) rest = 0;
    }
    Key* const published = (Key*)space.count;
    const u32 from = cluster_rank() * Team::warps + Team::warp();
#if CLUSTER > 1
    if (BLOCKS > 1) {
      if (Team::lane() < BLOCKS) store_remote(remote(published + from, Team::lane()), mine);
    } else
#endif
    if (Team::lane() == 0) published[Team::warp()] = mine;
    sync();
    Key others[loads];
#pragma unroll
    for (u32 j = 0; j < loads; ++j) others[j] = j * 32 + Team::lane() < warps ? published[j * 32 + Team::lane()] : 0;
#pragma unroll
    for (u32 block = 0; block < BLOCKS; ++block) {
      const u32 at = block * Team::warps + Team::warp();
      const Key x = published[at];
      u32 ahead = 0;
#pragma unroll
      for (u32 j = 0; j < loads; ++j) {
        const u32 other = j * 32 + Team::lane();
        ahead += __popc(__ballot_sync(~0u, other < warps && (others[j] > x || (others[j] == x && other < at))));
      }
      if (ahead * each < k && k <= (ahead + 1) * each && Team::lane() == 0) space.least[0] = x;
    }
    Team::sync();
    return space.least[0];
  }

  // Reserves places in the list, for a warp.
  __device__ u32 reserve(u32 count) const {
#if CLUSTER > 1
    if (BLOCKS > 1) return add_remote(remote(&space.list.length, 0), count);
#endif
    return atomicAdd(&space.list.length, count);
  }

  __device__ void put_if(bool does, u32 at, Key key, u32 index) const {
    const Listed entry = listed(key, index);
    const u64* const words = (const u64*)&entry;
#pragma unroll
    for (u32 w = 0; w < sizeof(Listed) / 8; ++w) {
#if CLUSTER > 1
      if (BLOCKS > 1)
        store_remote_if(does, remote(space.list.entries, 0) + at * (u32)sizeof(Listed) + w * 8, words[w]);
      else
#endif
        store_if(does, (u64*)(space.list.entries + at) + w, words[w]);
    }
  }

  __device__ static bool refuse() {
    Team::sync();  // all know
    return false;
  }

  // Gives the k best to sink(place, key, index), best first, after sink.begin_ranks(); there are at least k, and the
  // list is clear.
  // Returns false, and has given nothing, where too many reach the bound. A thread's `best` is the greatest
  // key of its `candidates`, 0 if it has none. Begins with a barrier and ends without.
  template <class Candidates, class Sink>
  __device__ bool select(u32 k, Key best, const Candidates& candidates, const Sink& sink) const {
    const Key least = bound(k, best);
    if (!least) return refuse();  // empty places have this key
    const u32 own = best >= least ? candidates.count(least) : 0;
    const u32 losses_at = candidates.tell_losses(least);
    const u32 before = warp_scan(own);
    u32 first = 0;
    if (Team::lane() == 31 && before) {
      first = reserve(before);
      if (first + before > space.list.room) first = NOWHERE;
    }
    first = __shfl_sync(~0u, first, 31);
    if (own && first != NOWHERE) {
      u32 at = first + before - own;
      candidates.each(least, [&](bool reaches, Key key, u32 index) {
        put_if(reaches, at, key, index);
        at += reaches;
      });
    }
    candidates.list_losses(losses_at);
    sync();
    const u32 length = BLOCKS > 1 ? load_from_first(&space.list.length) : space.list.length;
    candidates.learn_losses();
    if (length > space.list.room) return refuse();
    if (BLOCKS == 1 || cluster_rank() == 0) {
      candidates.look_at_losses();
      sink.begin_ranks();
      space.list.template rank<Team>(length, k, 0, sink);
    }
    return true;
  }
};
