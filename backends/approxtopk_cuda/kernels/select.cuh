// Stage 2 for a team: the k best of m candidates, ties to the lower index.
//
// 1. bound   The k-th of the threads' best candidates is a lower bound of the k-th candidate, and
//            hardly below it. A thread keeps what reaches it, in place; the rest is not looked at
//            again. For k far below the number of threads and of candidates.
// 2. select  A radix select whose digits fit the data: the range of the keys left is cut into equal
//            bins, these are counted, and the bin with the k-th key is the next range. Maxima of
//            buckets lie close together, so bins of their range separate them where the top bits of a
//            key would not; one pass is the rule, ceil(bits / log2(bins)) the worst case. When all
//            that are left have one key, indices are selected among in the same way.
// 3. emit    What is above the bin goes out in candidate order; the few in it are ranked by comparing
//            all pairs, and follow in that order.
//
// Where time is short and threads are many, survivors of the bound are ranked at once (`rank_few`).
//
// From the command line: GROUPS (0, 1, 2, 4, 8) of a thread for the bound, QUICK (0, 1), SHARED (0, 1).
//
// Nothing in the result depends on the order of threads. The code is kept short: a row's selection
// runs it once, so fetching and issuing it is most of its time.

// Loads of candidates in flight: more where they come from global memory.
#if SHARED
static const u32 LOOK_AHEAD = 4;
#else
static const u32 LOOK_AHEAD = 8;
#endif

template <int SIZE> struct SelectSpace {
  // Four bins a thread, but 2048 at most.
  static const int bins = SIZE >= 512 ? 2048 : SIZE * 4;
  static const int bits = SIZE >= 512 ? 11 : SIZE == 256 ? 10 : SIZE == 128 ? 9 : 7;
  static const int few = 64;                       // candidates that are not worth another pass
  static const int room = SIZE >= 256 ? 256 : few;  // in the list of those to be ranked
  Key list_keys[room];
  u32 list_positions[room];
  Key least[32], greatest[32];  // per warp
  u32 totals[32];               // per warp
  u32 bin, above, inside, length, tied;
  u32 count[bins];
};

template <class Team> struct Selector {
  typedef SelectSpace<Team::size> Space;
  static const int per_thread = Space::bins / Team::size;
  Space& space;
  // Candidates, in any memory; those of a thread are `mine`, at its rank, then Team::size apart.
  Key* keys;
  u32* positions;
  u32 mine;

  // Before anything else; a barrier must follow before the rest.
  __device__ static void prepare(Space& space) {
    for (int i = Team::rank(); i < Space::bins; i += Team::size) space.count[i] = 0;
    if (Team::rank() == 0) space.length = 0;
  }

  __device__ Selector(Space& s, Key* k, u32* p, u32 m)
      : space(s), keys(k), positions(p), mine(m > Team::rank() ? (m - Team::rank() - 1) / Team::size + 1 : 0) {}

  // Calls f(i, keys[i]) for the thread's candidates; loads go ahead of the calls.
  template <class F> __device__ void each(const F& f) const {
    const u32 ahead = LOOK_AHEAD;
#pragma unroll 1
    for (u32 c = 0; c < mine; c += ahead) {
      const u32 i = Team::rank() + c * Team::size;
      Key x[ahead];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) x[j] = c + j < mine ? keys[i + j * Team::size] : 0;
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) {
        if (c + j < mine) f(i + j * Team::size, x[j]);
      }
    }
  }

  // Least and greatest of all threads' values.
  __device__ void range(Key& least, Key& greatest) const {
    least = warp_min(least);
    greatest = warp_max(greatest);
    if (Team::is_warp) return;
    if (Team::lane() == 0) space.least[Team::warp()] = least, space.greatest[Team::warp()] = greatest;
    Team::sync();
    const u32 from = Team::lane() % Team::warps;
    least = warp_min(space.least[from]);
    greatest = warp_max(space.greatest[from]);
  }

  // How far to shift a key's distance from the least so that it numbers a bin.
  __device__ static int shift_for(Key width) {
    const int length = bit_length(width);
    return length > Space::bits ? length - Space::bits : 0;
  }

  __device__ void count(Key distance, int shift) const { atomicAdd(&space.count[(u32)(distance >> shift)], 1u); }

  // Sum over the threads before this one; `totals` is free after the next barrier.
  __device__ u32 scan(u32 own) const {
    u32 before = warp_scan(own);
    if (!Team::is_warp) {
      if (Team::lane() == 31) space.totals[Team::warp()] = before;
      Team::sync();
      before += __reduce_add_sync(~0u, Team::lane() < Team::warp() ? space.totals[Team::lane()] : 0);
    }
    return before - own;
  }

  // After a barrier: the bin that holds the `want`-th counted from the top. Leaves all counts zero.
  __device__ void find_bin(u32 want) const {
    const u32 top = Space::bins - 1 - Team::rank() * per_thread;  // thread 0 has the highest bins
    u32 own[per_thread], sum = 0;
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      sum += own[i] = space.count[top - i];
      space.count[top - i] = 0;
    }
    u32 before = scan(sum);
    if (before < want && want <= before + sum) {
#pragma unroll
      for (int i = 0; i < per_thread; ++i) {
        if (before < want && want <= before + own[i]) {
          space.bin = top - i, space.above = before, space.inside = own[i];
        }
        before += own[i];
      }
    }
    Team::sync();
  }

  // The range of what can be among the k best: from the k-th of the greatest keys of groups, to the
  // greatest of all. A thread has GROUPS of them at most (`any`), with the greatest keys `best`. There are at
  // least k.
  template <int N> __device__ void bound(u32 k, const bool (&any)[N], const Key (&best)[N], Key& least, Key& greatest) {
    least = ~(Key)0, greatest = 0;
#pragma unroll
    for (int g = 0; g < N; ++g) {
      least = any[g] && best[g] < least ? best[g] : least;
      greatest = any[g] && best[g] > greatest ? best[g] : greatest;
    }
    range(least, greatest);
    const int shift = shift_for(greatest - least);
#pragma unroll
    for (int g = 0; g < N; ++g) {
      if (any[g]) count(best[g] - least, shift);
    }
    Team::sync();
    find_bin(k);
    least += (Key)space.bin << shift;
  }

  // Candidate c of the thread belongs to its group c % N.
  template <int N> __device__ void group(bool (&any)[N], Key (&best)[N]) const {
    const u32 ahead = N > LOOK_AHEAD ? N : LOOK_AHEAD;
#pragma unroll
    for (int g = 0; g < N; ++g) any[g] = mine > g, best[g] = 0;
#pragma unroll 1
    for (u32 c = 0; c < mine; c += ahead) {
      Key x[ahead];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) x[j] = c + j < mine ? keys[Team::rank() + (c + j) * Team::size] : 0;
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) best[j % N] = x[j] > best[j % N] ? x[j] : best[j % N];
    }
  }

  // Drops candidates of which f(i, key) is false; the rest stay in their order.
  template <class F> __device__ void keep(const F& f) {
    u32 kept = Team::rank();
    each([&](u32 i, Key x) {
      if (!f(i, x)) return;
      keys[kept] = x;  // at i or before it
      positions[kept] = positions[i];
      kept += Team::size;
    });
    mine = kept / Team::size;
  }

  __device__ void append(Key key, u32 index) const {
    const u32 at = atomicAdd(&space.length, 1u);
    if (at < Space::room) space.list_keys[at] = key, space.list_positions[at] = index;
  }

  // After a barrier: gives the `want` best of the list to sink(first + rank, key, index), and clears
  // it. With QUICK neighbouring threads share an entry's comparisons.
  template <class Sink> __device__ void rank_list(u32 want, u32 first, const Sink& sink) const {
    const u32 length = space.length;
    u32 shift = 0;  // log2 of the threads that share an entry
    while (QUICK && shift < 5 && length << (shift + 1) <= Team::size) ++shift;
    const u32 part = Team::rank() & ((1u << shift) - 1);
#pragma unroll 1
    for (u32 base = 0; base < length; base += Team::size >> shift) {
      const u32 i = base + (Team::rank() >> shift);
      const Entry<Key> entry = {space.list_keys[i % Space::room], space.list_positions[i % Space::room]};
      u32 ahead = 0;
#pragma unroll 4
      for (u32 j = part; j < length; j += 1u << shift) {
        const Key key = space.list_keys[j];
        const u32 index = space.list_positions[j];
        ahead += (key > entry.key) | ((key == entry.key) & (index < entry.index));
      }
#pragma unroll 1
      for (u32 d = 1u << shift >> 1; d; d /= 2) ahead += __shfl_xor_sync(~0u, ahead, d);
      if (part == 0 && i < length && ahead < want) sink(first + ahead, entry.key, entry.index);
    }
    Team::sync();
    if (Team::rank() == 0) space.length = 0;
  }

  // As quick as can be for a team with nothing else to do: survivors of the bound are ranked at once.
  // Returns false, and has done nothing, where they are too many. Groups as for `bound`, at least
  // 3 k / 2 of them.
  template <class Sink>
  __device__ bool rank_few(u32 k, const bool (&any)[1], const Key (&best)[1], const Sink& sink) {
    Key least, greatest;
    bound(k, any, best, least, greatest);
    each([&](u32 i, Key x) {
      if (x >= least) append(x, positions[i]);
    });
    Team::sync();
    if (space.length > Space::room) {
      Team::sync();
      if (Team::rank() == 0) space.length = 0;
      return false;
    }
    rank_list(k, 0, sink);
    return true;
  }

  // Gives the k best to sink(place, key, index), 1 <= k < candidates. Drops what is not.
  template <class Sink> __device__ void select(u32 k, const Sink& sink) {
    Key least = ~(Key)0, greatest = 0;
    if (GROUPS) {
      bool any[GROUPS + !GROUPS];
      Key best[GROUPS + !GROUPS];
      group(any, best);
      bound(k, any, best, least, greatest);
      keep([&](u32, Key x) { return x >= least; });
    } else {
      each([&](u32, Key x) {
        least = x < least ? x : least;
        greatest = x > greatest ? x : greatest;
      });
      range(least, greatest);
    }
    u32 want = k;
    bool list = narrow<false>(want, least, greatest, 0);
    if (!want) {  // one key, more of it than wanted
      want = space.tied;
      const Key tie = least;
      least = 0, greatest = (u32)~0u;
      list = narrow<true>(want, least, greatest, tie);
    }
    emit(sink);  // has a barrier
    if (list) rank_list(want, k - want, sink);
  }

  // Narrows the range until it holds the `want`-th key (TIES: the `want`-th lowest index of those
  // with the key `tie`) and little else, then drops what is below and lists what is in it. Returns
  // whether there is a list, of which the `want` best are wanted; else all that is left is.
  // want = 0: a single key is left, and `space.tied` of its indices are wanted.
  template <bool TIES> __device__ bool narrow(u32& want, Key& least, Key& greatest, Key tie) {
    u32 inside;
    do {
      const int shift = shift_for(greatest - least);
      const Key width = greatest - least;
      each([&](u32 i, Key x) {
        if (TIES && x != tie) return;
        const Key distance = (TIES ? (Key)~positions[i] : x) - least;
        if (distance <= width) count(distance, shift);
      });
      Team::sync();
      find_bin(want);
      inside = space.inside;
      want -= space.above;
      least += (Key)space.bin << shift;
      const Key bin = ((Key)1 << shift) - 1;
      greatest = greatest - least < bin ? greatest : least + bin;
    } while (inside != want && inside > Space::few && greatest > least);

    if (!TIES && inside != want && inside > Space::few) {
      if (Team::rank() == 0) space.tied = want;
      want = 0;
      Team::sync();
      return false;
    }
    const bool list = inside != want;
    const Key width = greatest - least;
    keep([&](u32 i, Key x) {
      if (TIES && x != tie) return x > tie;
      const Key y = TIES ? (Key)~positions[i] : x;
      if (y - least > width) return y > greatest;
      if (list) append(x, positions[i]);
      return !list;
    });
    return list;
  }

  // Gives all candidates left to sink(place, key, index), neighbouring threads at neighbouring places.
  template <class Sink> __device__ void emit(const Sink& sink) const {
    u32 place = 0;
    const u32 own = __reduce_add_sync(~0u, mine);
    if (Team::lane() == 0) space.totals[Team::warp()] = own;
    Team::sync();
    place = __reduce_add_sync(~0u, Team::lane() < Team::warp() ? space.totals[Team::lane()] : 0);
    const u32 most = __reduce_max_sync(~0u, mine);
#pragma unroll 1
    for (u32 c = 0; c < most; ++c) {
      const u32 ballot = __ballot_sync(~0u, c < mine);
      const u32 i = Team::rank() + c * Team::size;
      if (c < mine) sink(place + __popc(ballot & ((1u << Team::lane()) - 1)), keys[i], positions[i]);
      place += __popc(ballot);
    }
  }
};
