// A team's memory while it selects.

// Places for each of a team's warps. (No fewer for the largest: k = 2048 of bf16 took 1 % longer, which is not understood.)
__device__ constexpr int per_warp(int threads) { return threads >= 512 ? 32 : threads / 32; }

template <int SIZE> struct SelectSpace {
  // Four bins a thread, but 2048 at most.
  static const int bins = SIZE >= 512 ? 2048 : SIZE * 4;
  static const int bits = SIZE >= 512 ? 11 : SIZE == 256 ? 10 : SIZE == 128 ? 9 : 7;
  static const int warps = per_warp(SIZE);
  static const int few = SIZE >= 256 ? 256 : 64;  // candidates that are not worth another pass
  // Counts of bins and of what is in none; later the candidates to be written; quick.cuh publishes here,
  // losses.cuh and repair.cuh list groups, order.cuh has bins of its own.
  __align__(16) u32 count[bins + 4];
  List<SIZE >= 256 ? 320 : few> list;
  // Blocks of a cluster may still ask whether the list of quick selection is too long when the first one
  // goes on to repair: what it lists then never is.
  static_assert(few <= List<SIZE >= 256 ? 320 : few>::room, "a list that is looked at by other blocks");
  Key least[warps], greatest[warps];
  u32 totals[warps];
  u32 bin, above, inside;
  u32 top_bin, top_above;

  // Sum over the threads before this one; `totals` is free after the next barrier.
  template <class Team> __device__ u32 sum_before(u32 own) {
    u32 before = warp_scan(own);
    if (!Team::is_warp) {
      if (Team::lane() == 31) totals[Team::warp()] = before;
      Team::sync();
      before += __reduce_add_sync(~0u, Team::lane() < Team::warp() ? totals[Team::lane()] : 0);
    }
    return before - own;
  }
};
