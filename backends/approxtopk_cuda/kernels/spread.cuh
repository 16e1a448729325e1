// Stage 2 by all blocks of a cluster, each of which keeps its own candidates in registers.
//
// 1. range   The least of the greatest keys of k groups or more is a lower bound of the k-th candidate, and their greatest is one
//            of all. Groups are some buckets each, or as many candidates of each bucket as make k. Blocks tell each other theirs.
// 2. count   Each block counts its candidates by equal bins of that range, and tells all others. So all know which bin has the
//            k-th, and how many above it the blocks before have. Where many are in that bin, it is the next range, once.
// 3. emit    What is above the bin goes out from each block, behind what the blocks before have.
// 4. rank    What is in it is listed in the first block, which ranks it by comparing all pairs.
//
// As in select.cuh nothing in the result depends on the order of threads. Where still too many are in the bin nothing is given: the
// first block then selects from all candidates.
//
// From the command line: SPREAD (0, 1), THREADS, CLUSTER, KB, WINNERS; see candidates.cuh, too.

#if SPREAD
// What a block tells of its candidates, and of what it lost.
struct __align__(16) Extent {
  Key least, greatest;  // of the greatest keys of its groups
#if WINNERS
  Key lost, unused;
#endif
  static const u32 bytes = (WINNERS ? 4 : 2) * (u32)sizeof(Key);  // of these
};

// In each block.
struct SpreadSpace {
  static const u32 bins = 1024, rounds = 2;
  Extent extents[CLUSTER];
  __align__(16) u16 counts[rounds][CLUSTER][bins];
  Key lost[WINNERS ? per_warp(THREADS) : 1];            // the best that each warp lost
  u64 extents_arrive, counts_arrive[rounds], list_arrives;
  u32 beyond;                                           // a count of what is in no bin
  u32 emitted, listed;                                  // of the blocks before, above the bin and in it
};

template <class Team> struct Spread {
  static const u32 words = SpreadSpace::bins / 2;  // two counts each
  static const u32 each = words / Team::size;      // of a thread
  static const u32 few = SelectSpace<Team::size>::few;

  const Params& p;
  SelectSpace<Team::size>& space;
  SpreadSpace& own;
  const u32 block;

  __device__ u32* counts_of(u32 round, u32 of_block) const { return (u32*)own.counts[round][of_block]; }

  // Before other blocks know that this one runs.
  __device__ void begin() const {
    if (Team::rank() == 0) {
      begin_arrivals(&own.extents_arrive);
      begin_arrivals(&own.list_arrives);
    }
#pragma unroll
    for (u32 round = 0; round < SpreadSpace::rounds; ++round) {
      if (Team::rank() == 0) begin_arrivals(own.counts_arrive + round);
#pragma unroll
      for (u32 e = 0; e < each; ++e) counts_of(round, block)[Team::rank() * each + e] = 0;
    }
    space.list.template clear<Team>();
  }

  // Calls f(key, u, i) for the thread's candidates, empty ones among them.
  template <class F> __device__ static void each_of(const Candidates& candidates, const F& f) {
#pragma unroll
    for (int u = 0; u < Candidates::buckets; ++u) {
#pragma unroll
      for (int i = 0; i < KB; ++i) f(candidates.key(u, i), u, i);
    }
  }

  // The least and the greatest of the greatest keys of the thread's groups.
  __device__ void extent(const Candidates& candidates, Key& least, Key& greatest) const {
    const u32 n = Candidates::buckets;
    least = ~(Key)0, greatest = 0;
#pragma unroll
    for (int u = 0; u < n; ++u) {
      Key reached = candidates.key(u, 0);
      greatest = reached > greatest ? reached : greatest;
#pragma unroll
      for (int i = 1; i < KB; ++i) reached = i * p.b < p.k ? candidates.key(u, i) : reached;
      least = reached < least ? reached : least;
    }
    if (n * p.k <= p.b) {
      least = greatest;  // a group is all that the thread has, or some neighbours have
#pragma unroll 1
      for (u32 lanes = 1; lanes < 32 && 2 * lanes * n * p.k <= p.b; lanes *= 2) {
        const Key other = from_lane_xor(least, lanes);
        least = other > least ? other : least;
      }
    }
    least = candidates.any ? least : ~(Key)0;
  }

  // The range of what can be among the k best, and from what the thread lost to the best that any did.
  __device__ void range(const Candidates& candidates, [[maybe_unused]] Key& lost, Key& least, Key& greatest) const {
    extent(candidates, least, greatest);
    least = warp_min(least), greatest = warp_max(greatest);
    if (Team::lane() == 0) space.least[Team::warp()] = least, space.greatest[Team::warp()] = greatest;
#if WINNERS
    lost = warp_max(lost);
    if (Team::lane() == 0) own.lost[Team::warp()] = lost;
#endif
    Team::sync();
    if (Team::rank() == 32) {  // of a warp that has nothing to send
      expect_arrivals(&own.extents_arrive, CLUSTER * Extent::bytes);
#pragma unroll
      for (u32 round = 0; round < SpreadSpace::rounds; ++round) expect_arrivals(own.counts_arrive + round, (CLUSTER - 1) * words * 4);
    }
    const u32 other = Team::lane() % CLUSTER;
    if (Team::warp() == 0) {
      const u32 from = Team::lane() % Team::warps;
#if WINNERS
      const Key told[] = {warp_min(space.least[from]), warp_max(space.greatest[from]), warp_max(own.lost[from]), 0};
#else
      const Key told[] = {warp_min(space.least[from]), warp_max(space.greatest[from])};
#endif
      if (Team::lane() < CLUSTER) send_items(remote(own.extents + block, other), remote(&own.extents_arrive, other), told);
    }
    await_arrivals(&own.extents_arrive);
    least = warp_min(own.extents[other].least), greatest = warp_max(own.extents[other].greatest);
#if WINNERS
    lost = warp_max(own.extents[other].lost);
#endif
  }

  // How far to shift a key's distance from the least so that it numbers a bin.
  __device__ static int shift_for(Key width) {
    const int length = bit_length(width), bits = bit_length(SpreadSpace::bins - 1);
    return length > bits ? length - bits : 0;
  }

  // Counts candidates, and learns what all blocks counted.
  __device__ void count(u32 round, const Candidates& candidates, Key least, Key width, int shift) const {
    u32* const mine = counts_of(round, block);
    each_of(candidates, [&](Key key, int, int) {
      const Key distance = key - least;
      const u32 bin = (u32)(distance >> shift);  // what does not count goes where lanes meet, which costs nothing
      atomicAdd(distance <= width ? mine + bin / 2 : &own.beyond, 1u << bin % 2 * 16);
    });
    Team::sync();
    u32 told[each];
#pragma unroll
    for (u32 e = 0; e < each; ++e) told[e] = mine[Team::rank() * each + e];
#pragma unroll
    for (u32 j = 1; j < CLUSTER; ++j) {
      const u32 other = (block + j) % CLUSTER;
      send(remote(mine + Team::rank() * each, other), remote(own.counts_arrive + round, other), told);
    }
    await_arrivals(own.counts_arrive + round);
  }

  // The bin that holds the `want`-th counted from the top, of all blocks. Ends with a barrier.
  __device__ void find_bin(u32 round, u32 want) const {
    const u32 first = words - each * (Team::rank() + 1);  // thread 0 has the highest
    u32 all[each], before[each], sum = 0;                 // before: of the blocks that are; sum: of that in the upper half
#pragma unroll
    for (u32 e = 0; e < each; ++e) {
      all[e] = before[e] = 0;
#pragma unroll
      for (u32 from = 0; from < CLUSTER; ++from) {
        const u32 x = counts_of(round, from)[first + e];
        all[e] += x;
        before[e] += from < block ? x : 0;
      }
      sum += (all[e] & 0xFFFF) + (all[e] >> 16) + (before[e] << 16) + (before[e] & 0xFFFF0000u);
    }
    u32 above = space.template sum_before<Team>(sum);
    if ((above & 0xFFFF) < want && want <= (above & 0xFFFF) + (sum & 0xFFFF)) {
#pragma unroll
      for (u32 e = each; e-- > 0;) {
#pragma unroll
        for (u32 half = 2; half-- > 0;) {
          const u32 inside = all[e] >> half * 16 & 0xFFFF, inside_before = before[e] >> half * 16 & 0xFFFF;
          if ((above & 0xFFFF) < want && want <= (above & 0xFFFF) + inside) {
            space.bin = 2 * (first + e) + half, space.above = above & 0xFFFF, space.inside = inside;
            own.emitted = above >> 16, own.listed = inside_before;
          }
          above += inside | inside_before << 16;
        }
      }
    }
    Team::sync();
  }

  // Narrows the range to the bin that holds the `want`-th; wants less what is above, and emits as much later what the blocks
  // before have of it. Returns how many are inside.
  __device__ u32 cut(u32 round, const Candidates& candidates, Key& least, Key& greatest, u32& want, u32& at) const {
    const Key width = greatest - least;
    const int shift = shift_for(width);
    count(round, candidates, least, width, shift);
    find_bin(round, want);
    const Key end = ((Key)(space.bin + 1) << shift) - 1;
    greatest = width < end ? greatest : least + end;
    least += (Key)space.bin << shift;
    want -= space.above, at += own.emitted;
    return space.inside;
  }

  // The k best to output(place, key, index), but those that are ranked to ranked(place, key, index) after ranked.begin_ranks(), in
  // the first block, best first. `lost`: the best key that the thread lost, and then that any did. False, and nothing given,
  // where too many would be ranked.
  template <class Output, class Ranked>
  __device__ bool select(u32 k, const Candidates& candidates, Key& lost, const Output& output, const Ranked& ranked) const {
    Key least, greatest;
    range(candidates, lost, least, greatest);
    u32 want = k, at = 0;  // at: where what the block emits begins
    u32 inside = cut(0, candidates, least, greatest, want, at);
    if (__builtin_expect(inside > few, 0)) {  // other code, so that most rows' is for their round alone
      if (least == greatest) return false;
      inside = cut(1, candidates, least, greatest, want, at);
      if (inside > few) return false;
    }
    if (block == 0 && Team::rank() == 0) expect_arrivals(&own.list_arrives, inside * (u32)sizeof(Listed));
    u32 above = 0;
    each_of(candidates, [&](Key key, int u, int i) {
      above += key > greatest;
      if (key < least || key > greatest) return;
      const Listed entry[] = {listed(key, candidates.index(u, i))};
      const u32 to = own.listed + count_shared(&space.list.length);
      send_items(remote(space.list.entries + to, 0), remote(&own.list_arrives, 0), entry);
    });
    at += space.template sum_before<Team>(above);
    each_of(candidates, [&](Key key, int u, int i) {
      if (key > greatest) output(at++, key, candidates.index(u, i));
    });
    if (block == 0) {
      await_arrivals(&own.list_arrives);
      ranked.begin_ranks();
      space.list.template rank<Team>(inside, want, k - want, ranked);
    }
    return true;
  }
};
#endif
