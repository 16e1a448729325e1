// A team's memory while it selects.

template <int SIZE> struct SelectSpace {
  // Four bins a thread, but 2048 at most.
  static const int bins = SIZE >= 512 ? 2048 : SIZE * 4;
  static const int bits = SIZE >= 512 ? 11 : SIZE == 256 ? 10 : SIZE == 128 ? 9 : 7;
  static const int few = SIZE >= 256 ? 256 : 64;  // candidates that are not worth another pass
  // Counts of bins and of what is in none; later the candidates to be written; quick.cuh publishes here,
  // losses.cuh and repair.cuh list groups, order.cuh has bins of its own.
  __align__(16) u32 count[bins + 4];
  List<SIZE >= 256 ? 320 : few> list;
  // Blocks of a cluster may still ask whether the list of quick selection is too long when the first one
  // goes on to repair: what it lists then never is.
  static_assert(few <= List<SIZE >= 256 ? 320 : few>::room, "a list that is looked at by other blocks");
  Key least[32], greatest[32];  // per warp
  u32 totals[32];               // per warp
  u32 bin, above, inside;
  u32 top_bin, top_above;
};
