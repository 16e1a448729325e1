// Stage 2: the k best of each row's candidates.
//
// Shapes   keys, positions: [rows][splits][kb][b], empty places (0, NOWHERE) among them; values and
//          indices: k of each row, in candidate order or best first (SORTED), or as entries for
//          `sort` (LISTED).
// Ties     to the lower index. 1 <= k <= candidates.
// When     after stage1. The grid has a block, or a cluster, for each row.
//   CLUSTER > 1  few rows with many candidates: each block drops what is too small in its share of
//                them, the first one selects from the rest.
//   SHARED 1     candidates fit in shared memory; parts of buckets are merged first (MERGE).
//   SHARED 0     they don't; each pass reads them again, mostly from L2.
// Moves    each candidate once (CLUSTER, SHARED) or four times, and the output.

struct Memory {  // of candidates
  Key* keys;
  u32* positions;
};

#if MERGE
// The best KB of two lists, in the place of the first. They are its first `own` and the first others of
// the second: of the places, the last ones are free, so they are put in order from there.
__device__ inline void merge_in_place(const Lists<Key>& lists, u32 a, u32 b) {
  u32 own = 0;
  for (u32 high = KB; own < high;) {
    const u32 middle = (own + high) / 2;
    if (better(lists.get(b, KB - 1 - middle), lists.get(a, middle)))
      high = middle;
    else
      own = middle + 1;
  }
  u32 others = KB - own;
  Entry<Key> x = lists.get(a, own ? own - 1 : 0), y = lists.get(b, others ? others - 1 : 0);
#pragma unroll 1
  while (others) {
    const u32 last = own + others - 1;
    if (own && better(y, x)) {
      lists.set(a, last, x);
      if (--own) x = lists.get(a, own - 1);
    } else {
      lists.set(a, last, y);
      if (--others) y = lists.get(b, others - 1);
    }
  }
}

// The lists of `splits` parts (at least 2) of b buckets to `to`, which is elsewhere. All threads of the
// team call it, after writing their lists; it begins with a barrier and ends without.
template <class Team> __device__ inline void merge_splits(const Lists<Key>& lists, u32 splits, u32 b, const Memory& to) {
  if constexpr (KB <= 8) {
    merge_parts<Team, Key, KB>(lists, 1, splits, b, [=](u32, u32 bucket, const Entry<Key>(&best)[KB], Key) {
#pragma unroll
      for (int i = 0; i < KB; ++i) {
        to.keys[i * b + bucket] = best[i].key;
        to.positions[i * b + bucket] = best[i].index;
      }
    });
  } else {  // one of so many threads has no registers for a long list
    while (splits > 1) {
      const u32 half = (splits + 1) / 2;  // the odd one waits
      Team::sync();
      for (u32 x = Team::rank(); x < (splits - half) * b; x += Team::size) merge_in_place(lists, x, x + half * b);
      splits = half;
    }
    Team::sync();
    for (u32 x = Team::rank(); x < KB * b; x += Team::size) {
      const Entry<Key> entry = lists.get(x % b, x / b);
      to.keys[x] = entry.key;
      to.positions[x] = entry.index;
    }
  }
}
#endif

#if CLUSTER > 1
// Candidates to the first block of the cluster.
struct FirstBlockSink {
  u32 keys, positions, first;
  __device__ void operator()(u32 place, Key key, u32 index) const {
    store_remote(keys + (first + place) * (u32)sizeof(Key), key);
    store_remote(positions + (first + place) * 4, index);
  }
};

// Of `m` candidates in global memory, those that can be among the k best to `rest` of the first block,
// in their order; returns how many. A block looks at `p.tile` of them, in `mine`. If each block has
// ceil(k / CLUSTER) that reach its own bound, k reach the least of the bounds: where winners are spread
// evenly, 1.1 to 1.3 k do. Where more than p.tile do, returns m and has written nothing.
template <class Team>
__device__ inline u32 drop(const Params& p, SelectSpace<Team::size>& space, const Memory& from, const Memory& mine, const Memory& rest) {
  __shared__ Key bounds[CLUSTER];
  __shared__ u32 counts[CLUSTER];
  cluster_arrive_only();  // this block runs, and is done with the row before
  const u32 m = KB * p.b, block = cluster_rank();
  const u32 begin = block * p.tile < m ? block * p.tile : m;
  const u32 length = m - begin < p.tile ? m - begin : p.tile;
#pragma unroll 8
  for (u32 x = Team::rank(); x < length; x += Team::size) {
    mine.keys[x] = from.keys[begin + x];
    mine.positions[x] = from.positions[begin + x];
  }
  Team::sync();
  const Selector<Team> part(space, mine.keys, mine.positions, length, length);
  Key least = part.template bound<PART_GROUPS>((p.k + CLUSTER - 1) / CLUSTER);
  cluster_wait();
  if (Team::rank() < CLUSTER) store_remote(remote(bounds + block, Team::rank()), least);
  cluster_arrive();
  cluster_wait();
#pragma unroll
  for (u32 c = 0; c < CLUSTER; ++c) least = bounds[c] < least ? bounds[c] : least;
  const auto kept = [&](u32 i, Key x, bool& is, bool&) { is = x >= least && (least || mine.positions[i] != NOWHERE); };
  u32 marks;
  const u32 own = part.count(kept, marks), place = part.scan(own);
  if (Team::rank() == Team::size - 1) {
#pragma unroll
    for (u32 c = 0; c < CLUSTER; ++c) store_remote(remote(counts + block, c), place + own);
  }
  cluster_arrive();
  cluster_wait();
  u32 first = 0, total = 0;
#pragma unroll
  for (u32 c = 0; c < CLUSTER; ++c) {
    first += c < block ? counts[c] : 0;
    total += counts[c];
  }
  if (total > p.tile) return m;
  const FirstBlockSink sink = {remote(rest.keys, 0), remote(rest.positions, 0), first};
  part.template emit<Selector<Team>::usual>(place, counts[block], marks, kept, sink);
  return total;
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) IN_CLUSTERS stage2(const Params p) {
  typedef TeamOf<THREADS> Team;
  await_launch_before();
  if (p.lets_next) let_next_launch_begin();
  extern __shared__ __align__(16) u8 shared[];
  __shared__ SelectSpace<THREADS> space;

  const u32 m = KB * p.b;
  const u32 held = CLUSTER > 1 ? 2 * p.tile : SHARED ? m : 0;
  const u32 list_places = MERGE ? m * p.splits : 0;
  const u32 sort_places = places_to_sort<THREADS>(p.k);
  const u32 more_places = list_places > sort_places ? list_places : sort_places;  // never both
  const u32 places = (held + more_places + 3) / 4 * 4;  // aligned
  const Memory memory = {(Key*)shared, (u32*)((Key*)shared + places)};
  const ListSink list = {memory.keys + held, memory.positions + held};

  const u32 row = blockIdx.x / CLUSTER;
  const RowEnds ends = ends_of(p, row);
  const OutputSink output = {p, ends};
  const u64 first = (u64)row * p.splits * m;
  const Memory from = {p.keys + first, p.positions + first};
#if CLUSTER > 1
  const Memory rest = {memory.keys + p.tile, memory.positions + p.tile};
  const u32 length = drop<Team>(p, space, from, memory, rest);
  cluster_arrive();
  cluster_wait();
  if (cluster_rank() == 0) {
    const Memory left = length <= p.tile ? rest : from;
    const Selector<Team> selector(space, left.keys, left.positions, length, p.b, p.n, list.keys);
    finish<Team>(p, selector, row, list, output);
  }
  cluster_arrive();
  cluster_wait();
#else
#if MERGE
  const u32 b = p.b;
  const Lists<Key> lists = {list.keys, list.positions, p.splits * b};
  for (u32 x = Team::rank(); x < p.splits * m; x += THREADS) {
    const u32 split = x / m, i = x % m / b, bucket = x % b;
    const Entry<Key> entry = {from.keys[x], from.positions[x]};
    lists.set(split * b + bucket, i, entry);
  }
  merge_splits<Team>(lists, p.splits, b, memory);
#elif SHARED
#pragma unroll 8
  for (u32 x = Team::rank(); x < m; x += THREADS) memory.keys[x] = from.keys[x], memory.positions[x] = from.positions[x];
#endif
  Team::sync();
  const Memory& candidates = SHARED ? memory : from;
  const Selector<Team> selector(space, candidates.keys, candidates.positions, m, p.b, p.n, list.keys);
  finish<Team>(p, selector, row, list, output);
#endif
}
