// Stage 1 and stage 2 in one launch, very few winners: a warp owns a row, without shared memory.
//
// Shapes   as fused.cu; k <= 16, and b <= 32 V. Winners come best first.
// When     rows fill the GPU but for short ones, see short.cu, and a lane holds few candidates (V * KB <= 4).
// Moves    each element once, and the output.
//
// Candidates stay in registers; the best of them is taken out k times, and lane r remembers the r-th.
//
// From the command line: WINNERS, REPAIR (see losses.cuh), and what the walk needs.

#if WINNERS
// Lanes hold k results, best first. Of a lane's V buckets, from `bucket` on, the best key that they lost is
// `lost`, and `last` the best of their last candidates: what losses.cuh does for a block, by what it says
// there. Whether the results are the true top k; with REPAIR they are made so. Keys in `winner` are those
// of candidates before, and of elements after.
__device__ inline bool certify_warp(const Params& p, const RowEnds& ends, u32 bucket, Key lost, const Entry<Key>& last,
                                    Entry<Key>& winner) {
  const Buckets buckets = {p, ends.arr};
  const u32 lane = threadIdx.x % 32, longest = p.run + (p.longer != 0);
  Entry<Key> tau = {__shfl_sync(~0u, winner.key, p.k - 1), __shfl_sync(~0u, winner.index, p.k - 1)};
  u32 flagged = __ballot_sync(~0u, lost >= tau.key && better(last, tau));
  bool exact = REPAIR || !__any_sync(~0u, lost > tau.key);
  winner.key >>= KEY_SHIFT, tau.key >>= KEY_SHIFT;
  if (!exact) return false;
  for (; flagged; flagged &= flagged - 1) {
    const u32 first = __shfl_sync(~0u, bucket, __ffs(flagged) - 1);
    for (u32 base = 0; base < longest * GROUP; base += 32) {
      const u32 of = first + (base + lane) % GROUP, step = (base + lane) / GROUP, index = buckets.index_of(of, step);
      const bool there = buckets.has(of, step);
      const Entry<Key> entry = {element_key(there ? ends.arr[index * (STRIDED ? p.in.step : 1)] : 0), index};
      u32 better_ones = __ballot_sync(~0u, there && better(entry, tau));
      for (; better_ones; better_ones &= better_ones - 1) {
        const u32 from = __ffs(better_ones) - 1;
        const Entry<Key> other = {__shfl_sync(~0u, entry.key, from), __shfl_sync(~0u, entry.index, from)};
        if (!better(other, tau) || __any_sync(~0u, lane < p.k && winner.index == other.index)) continue;
        exact = false;
#if REPAIR
        const u32 place = __popc(__ballot_sync(~0u, lane < p.k && better(winner, other)));
        const Entry<Key> above = {__shfl_up_sync(~0u, winner.key, 1), __shfl_up_sync(~0u, winner.index, 1)};
        if (lane >= place) winner = lane == place ? other : above;
        tau.key = __shfl_sync(~0u, winner.key, p.k - 1), tau.index = __shfl_sync(~0u, winner.index, p.k - 1);
#endif
      }
    }
  }
  return exact;
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) extract(const Params p) {
  typedef TeamOf<32> Team;
  const i64 row = (i64)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
  if (row >= p.rows) return;
  const Share share = share_of(p, Team::rank());
  Queues queues;
  Place place = place_of(p, share, row, share.bucket, 0);
  if (share.row) place.length = 0;
  await_launch_before();
  walk(queues, place);

  Entry<Key> mine[V * KB];  // best first
  Entry<Key> last = {0, NOWHERE};
#pragma unroll
  for (int u = 0; u < V; ++u) {
#pragma unroll
    for (int i = 0; i < KB; ++i) {
      Entry<Key> entry = {queues[u].key(i), index_at(queues[u], place, u, i)};
      if (WINNERS && i == KB - 1 && better(entry, last)) last = entry;
#pragma unroll
      for (int j = 0; j < u * KB + i; ++j) {
        if (u && better(entry, mine[j])) {  // a queue is in order itself
          const Entry<Key> other = mine[j];
          mine[j] = entry;
          entry = other;
        }
      }
      mine[u * KB + i] = entry;
    }
  }
  Entry<Key> winner = {0, NOWHERE};
#pragma unroll 1
  for (u32 rank = 0; rank < p.k; ++rank) {
    const Key key = warp_max(mine[0].key);
    const u32 index = warp_min(mine[0].key == key ? mine[0].index : NOWHERE);
    if (Team::lane() == rank) winner.key = key, winner.index = index;
    if (mine[0].index == index) {
#pragma unroll
      for (int j = 0; j + 1 < V * KB; ++j) mine[j] = mine[j + 1];
      mine[V * KB - 1].key = 0, mine[V * KB - 1].index = NOWHERE;
    }
  }
  const RowEnds ends = ends_of(p, row);
#if WINNERS
  const bool exact = certify_warp(p, ends, share.bucket, queues.lost_key(), last, winner);
  winner.key <<= KEY_SHIFT;
  if (!REPAIR && Team::lane() == 0) p.exact[row] = exact;
#endif
  if (Team::lane() < p.k) put(p, ends, Team::lane(), winner.key, winner.index);
}
