// Certificate and repair: whether a row's k results are its true top k, and making them so.
//
// Let tau be the worst of the results: elements are in one total order, the greater key first, on a
// tie the lower index. Stage 1 kept the best KB of every bucket. If fewer than KB results better than
// tau lie in a bucket, one of those that it kept is not better than tau, so nothing that it dropped
// is. The other buckets, if they dropped any, are *flagged*: they alone can hide an element better
// than tau. Where it is known of what was lost that it is worse than tau, they are not.
//
// 0. judge     Where it is known what groups of buckets lost, the best of it is compared with tau.
// 1. flag      Results are counted by bucket, of those buckets that may have lost something better than tau. Buckets
//              with KB of them are listed; tau's is none of them.
// 2. certify   Flagged buckets are read again. Of each, KB results are better than tau; any other
//              element that is was hidden. None is: the results are the true top k.
// 3. repair    Else the true top k are among the results in other buckets and the elements of
//              flagged ones that are better than tau. These are gathered, and the best k selected.
//              Where they outgrow the room, k of them are selected, tau rises, and gathering goes on.
//
// At most (k - 1) / KB buckets are flagged, so no more than k / (KB b) of a row is read again, however
// its elements lie: less than stage 1 read.
//
// The blocks of a cluster share what is read again: each gathers its part, and the first one then all that they hold.
//
// Nothing in the result depends on the order of threads.
//
// From the command line: REPAIR (0, 1), SORTED (of repaired rows), GATHERED (elements that a thread reads at a time
// for repair).

// A team's memory while it looks after a row.
struct Area {
  const Key* lost;  // the best key that each `group` of buckets lost, or null
  u32 group;
  Key* keys;  // what repair gathers: `entries` places, shared or (SHARED 0) global memory
  u32* positions;
  u32 entries;
  u32* counts;   // of a range of p.range buckets, a byte each
  u32* flagged;  // list of buckets
};

// What each block of a cluster tells all of them.
struct ClusterSpace {
  u32 verdicts[CLUSTER], better_ones[CLUSTER], held[CLUSTER];
};

// The threads of all blocks of a cluster.
template <class Team> struct ClusterOf {
  static const int size = Team::size * CLUSTER;
  __device__ static u32 rank() { return cluster_rank() * Team::size + Team::rank(); }
};

template <class Team> struct Certifier {
  typedef ClusterOf<Team> All;
  const Params& p;
  const Area& area;
  ResultSpace& space;
  SelectSpace<Team::size>& select_space;
  ClusterSpace& cluster_space;
  const RowEnds& ends;
  const WrittenResults results;
  const Buckets buckets;
  u32 first, flags;  // buckets before the range; flagged ones in it
  Entry<Key> tau;    // of the results; while repairing the k-th best so far, or worse
  u32 tau_bucket;    // where the worst result is
  u32 held;          // entries gathered

  __device__ Certifier(const Params& params, const Area& a, ResultSpace& s, SelectSpace<Team::size>& t, ClusterSpace& c,
                       const RowEnds& e)
      : p(params), area(a), space(s), select_space(t), cluster_space(c), ends(e), results{params, e}, buckets{params, e.arr}, held(0) {}

  // Tells all blocks `x`: `told` has what each said. A barrier of the cluster; all threads give the same.
  __device__ void tell(u32 (&told)[CLUSTER], u32 x) const {
#if CLUSTER > 1
    if (Team::rank() < CLUSTER) store_remote(remote(told + cluster_rank(), Team::rank()), x);
    cluster_arrive();
    cluster_wait();
#else
    told[0] = x;
#endif
  }

  // ---- 1. flag ----

  __device__ void clear() const {
    for (u32 w = Team::rank(); w < (p.range + 3) / 4; w += Team::size) area.counts[w] = 0;
    Team::sync();
  }

  // The worst of the results.
  __device__ Entry<Key> worst_result() const {
    if (SORTED) return results.get(p.k - 1);
    Entry<Key> mine = {~(Key)0, 0};
#pragma unroll 1
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = results.get(i);
      if (better(mine, entry)) mine = entry;
    }
    return worst<Team>(space, mine);
  }

  // Whether all that a bucket lost is known to be worse than the worst result.
  __device__ bool lost_little(u32 bucket, Key bar) const { return area.lost && area.lost[bucket / area.group] >> KEY_SHIFT < bar; }

  // Counts the results in p.range buckets after `before`, and lists flagged ones; `last` is the worst result.
  __device__ void flag(u32 before, const Entry<Key>& last) {
    first = before, tau_bucket = buckets.of(last.index);
    clear();
#pragma unroll 2
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const u32 bucket = buckets.of(results.index(i)), at = bucket - first;
      if (bucket < p.droppers && at < p.range && !lost_little(bucket, last.key)) atomicAdd(&area.counts[at / 4], 1u << at % 4 * 8);
    }
    Team::sync();
    list();
    Team::sync();
  }

  // Whether results fill a bucket that may have lost something better: KB of them, all better than tau.
  __device__ bool is_flagged(u32 bucket) const {
    const u32 at = bucket - first;
    return bucket != tau_bucket && (area.counts[at / 4] >> at % 4 * 8 & 0xFF) == KB;
  }

  // The same for the four buckets of a word of counts: a bit in the byte of each.
  __device__ u32 flags_of(u32 word) const {
    const u32 own = tau_bucket - first;
    return __vcmpeq4(area.counts[word], KB * 0x01010101u) & 0x01010101u & ~(own / 4 == word ? 1u << own % 4 * 8 : 0);
  }

  // Flagged buckets in rising order: each warp looks through words that are neighbours.
  __device__ void list() {
    const u32 words = (p.range + 3) / 4;
    const u32 share = (words + Team::warps - 1) / Team::warps, begin = Team::warp() * share;
    const u32 end = begin + share < words ? begin + share : words;
    u32 own = 0;
#pragma unroll 1
    for (u32 w = begin + Team::lane(); w < end; w += 32) own += __popc(flags_of(w));
    u32 place = __shfl_sync(~0u, scan<Team>(space, own, flags), 0);
    if (flags == 0) return;
#pragma unroll 1
    for (u32 base = begin; base < end; base += 32) {
      const u32 w = base + Team::lane();
      const u32 mask = w < end ? flags_of(w) : 0;
      if (!__any_sync(~0u, mask)) continue;
      const u32 up_to = warp_scan(__popc(mask));
      u32 at = place + up_to - __popc(mask);
#pragma unroll
      for (u32 j = 0; j < 4; ++j) {
        if (mask >> j * 8 & 1) area.flagged[at++] = first + w * 4 + j;
      }
      place += __shfl_sync(~0u, up_to, 31);
    }
  }

  // ---- 2. certify ----

  struct Listed {
    const u32* buckets;
    __device__ u32 operator()(u32 i) const { return buckets[i]; }
  };
  __device__ Listed listed() const {
    const Listed list = {area.flagged};
    return list;
  }

  // What lost keys tell by themselves, which is nearly always all: whether some group lost a better key
  // than tau's, so that the results aren't the true top k, or at least as good a one.
  struct Verdict {
    bool wrong, open;
  };
  __device__ Verdict judge() const {
    Key most = 0;
    const auto look = [&](Key lost) { most = lost > most ? lost : most; };
    const u32 groups = (p.b + area.group - 1) / area.group;
    struct __align__(16) Keys {
      Key at[16 / sizeof(Key)];
    };
    const u32 each = 16 / sizeof(Key), wide = (u64)area.lost % 16 ? 0 : groups / each;
#pragma unroll 8
    for (u32 i = All::rank(); i < wide; i += All::size) {
      const Keys keys = ((const Keys*)area.lost)[i];
#pragma unroll
      for (u32 j = 0; j < each; ++j) look(keys.at[j]);
    }
    for (u32 group = wide * each + All::rank(); group < groups; group += All::size) look(area.lost[group]);
    const bool wrong = Team::any(most > tau.key), open = Team::any(most == tau.key);
    if (CLUSTER == 1) return {wrong, open};
    tell(cluster_space.verdicts, wrong ? 2 : open);
    u32 said = 0;
#pragma unroll
    for (u32 c = 0; c < CLUSTER; ++c) said |= cluster_space.verdicts[c];
    return {(said & 2) != 0, (said & 1) != 0};
  }

  // Whether the results are the true top k.
  __device__ bool certify() {
    tau = worst_result();
    cluster_wait();
    if (area.lost) {
      const Verdict verdict = judge();
      if (verdict.wrong || !verdict.open) return !verdict.wrong;
    }
    u32 better_ones = 0, known = 0;
    for (u64 before = 0; before < p.droppers; before += p.range) {
      if (before) Team::sync();
      flag(before, tau);
      if (flags == 0) continue;
      known += flags * KB;
      const int n = CLUSTER > 1 ? GATHERED : AT_ONCE;
      buckets.each<All, n>(flags, listed(), [&](const Entry<Key>(&entries)[n], const u32(&)[n], const bool(&there)[n]) {
#pragma unroll
        for (int j = 0; j < n; ++j) better_ones += there[j] && better(entries[j], tau);
      });
    }
    if (known == 0) return true;
    u32 total;
    scan<Team>(space, better_ones, total);
    if (CLUSTER == 1) return total == known;
    tell(cluster_space.better_ones, total);
    total = 0;
#pragma unroll
    for (u32 c = 0; c < CLUSTER; ++c) total += cluster_space.better_ones[c];
    return total == known;
  }

#if REPAIR
  // ---- 3. repair ----

  // Makes the results the true top k, where they aren't.
  __device__ void repair() {
    const u32 room = area.entries - (SORTED ? ceil_power_of_two(p.k) : p.k);  // behind it goes what is selected
    const Entry<Key> last = tau;
    for (u64 before = 0; before < p.b; before += p.range) {
      flag(before, last);
#pragma unroll 1
      for (u32 base = 0; base < p.k; base += All::size) {
        const u32 i = base + All::rank();
        const Entry<Key> entry[1] = {results.get(i < p.k ? i : 0)};
        const u32 bucket = buckets.of(entry[0].index);
        const bool take[1] = {i < p.k && bucket - first < p.range && !is_flagged(bucket)};
        gather(room, entry, take);
      }
      if (flags == 0) continue;
      const int n = GATHERED;
      buckets.each<All, n>(flags, listed(), [&](const Entry<Key>(&entries)[n], const u32(&)[n], const bool(&there)[n]) {
        bool take[n];
#pragma unroll
        for (int j = 0; j < n; ++j) take[j] = there[j] && better(entries[j], tau);
        gather(room, entries, take);
      });
    }
#if CLUSTER > 1
    fetch(room);
    if (cluster_rank()) return;
#endif
    write(room);
  }

#if CLUSTER > 1
  // An entry of those that a block of the cluster holds.
  __device__ Entry<Key> held_by(u32 block, u32 i) const {
    Entry<Key> entry;
#if SHARED
    load_remote(entry.key, remote(area.keys + i, block));
    load_remote(entry.index, remote(area.positions + i, block));
#else
    const i64 first = ((i64)block - cluster_rank()) * p.entries;
    entry.key = area.keys[first + i], entry.index = area.positions[first + i];
#endif
    return entry;
  }

  // To the first block what the others hold, at most k entries of each.
  __device__ void fetch(u32 room) {
    if (cluster_rank() && held > p.k) shrink(room);
    tell(cluster_space.held, held);
    if (cluster_rank() == 0) {
      u32 others = 0;
#pragma unroll
      for (u32 c = 1; c < CLUSTER; ++c) others += cluster_space.held[c];
#pragma unroll 1
      for (u32 base = 0; base < others; base += Team::size) {
        u32 i = base + Team::rank(), block = 0;
#pragma unroll
        for (u32 c = 1; c < CLUSTER; ++c) {
          if (block == 0 && i < cluster_space.held[c]) block = c;
          if (block == 0) i -= cluster_space.held[c];
        }
        const Entry<Key> entry[1] = {held_by(block, block ? i : 0)};
        const bool take[1] = {block && better(entry[0], tau)};
        gather(room, entry, take);
      }
    }
    cluster_arrive_only();  // until then the others are there to be asked
    cluster_wait();
  }
#endif

  template <int N> __device__ void gather(u32 room, const Entry<Key> (&entries)[N], const bool (&take)[N]) {
    u32 own = 0, total;
#pragma unroll
    for (int j = 0; j < N; ++j) own += take[j];
    u32 place = scan<Team>(space, own, total);
    if (held + total > room) shrink(room);
    place += held;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (take[j]) area.keys[place] = entries[j].key, area.positions[place++] = entries[j].index;
    }
    held += total;
    Team::sync();
  }

  template <class Sink> __device__ void select_from_held(const Sink& sink) const {
    const Selector<Team> selector(select_space, area.keys, area.positions, held);
    if (held > p.k)
      selector.template select<0>(p.k, sink);
    else
      selector.select_all(held, sink);
    Team::sync();
  }

  // Keeps the best k of what is gathered; more of it than k.
  __device__ void shrink(u32 room) {
    const ListSink selected = {area.keys + room, area.positions + room};
    select_from_held(selected);
    Entry<Key> mine = {~(Key)0, 0};
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = {selected.keys[i], selected.positions[i]};
      area.keys[i] = entry.key, area.positions[i] = entry.index;
      if (better(mine, entry)) mine = entry;
    }
    tau = worst<Team>(space, mine);
    held = p.k;
    Team::sync();
  }

  __device__ void write(u32 room) const {
    const RepairedSink output = {p, ends};
#if SORTED
    const ListSink selected = {area.keys + room, area.positions + room};
    const u32 length = ceil_power_of_two(p.k);
    for (u32 i = p.k + Team::rank(); i < length; i += Team::size) selected(i, 0, NOWHERE);
    select_from_held(selected);
    sort_entries<Team>(selected.keys, selected.positions, length);
    for (u32 i = Team::rank(); i < p.k; i += Team::size) output(i, selected.keys[i], selected.positions[i]);
#else
    select_from_held(output);
#endif
  }
#endif
};
