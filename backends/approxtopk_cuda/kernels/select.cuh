// Stage 2 for a team: which k of m candidates are the best, ties to the lower index.
//
// A radix select whose digits fit the data: the range of the keys left is cut into BINS equal
// bins, counted, and the bin with the k-th key is the next range. Maxima of buckets lie close
// together, so bins of that range separate them at once where the top bits of a key would not;
// one pass is the rule, ceil(bits / log2(BINS)) the worst case. When few are left in the bin, they
// are ranked by comparing all pairs; when all that are left have one key, indices are selected
// among in the same way. The result is a threshold; what is better is emitted in candidate order,
// so nothing depends on the order of threads.

template <int SIZE> struct SelectSpace {
  // Four bins a thread up to 2048; a warp's or a small block's space stays small.
  static const int bins = SIZE >= 512 ? 2048 : SIZE * 4;
  static const int bits = SIZE >= 512 ? 11 : SIZE == 256 ? 10 : SIZE == 128 ? 9 : SIZE == 64 ? 8 : 7;
  static const int few = 64;  // candidates that are ranked at once
  u64 least[32], greatest[32];  // per warp
  Entry<u64> short_list[few];
  u32 totals[32];  // per warp
  u32 bin, above, inside, length;
  u64 threshold;
  u32 last;
  u32 count[bins];
};

// Candidates with a greater key, or the key and an index up to `last`, are selected.
struct Threshold {
  Key key;
  u32 last;
  __device__ bool passes(Key k, u32 index) const { return k > key || (k == key && index <= last); }
};

template <class Team> struct Selector {
  typedef SelectSpace<Team::size> Space;
  static const int per_thread = Space::bins / Team::size;
  Space& space;

  // Before anything else; a barrier must follow before `threshold` is asked for.
  __device__ void prepare() const {
    for (int i = Team::rank(); i < Space::bins; i += Team::size) space.count[i] = 0;
    if (Team::rank() == 0) space.length = 0;
  }

  // Least and greatest of all threads' values.
  __device__ void range(Key& least, Key& greatest) const {
    least = warp_min(least);
    greatest = warp_max(greatest);
    if (Team::is_warp) return;
    if (Team::lane() == 0) space.least[Team::warp()] = least, space.greatest[Team::warp()] = greatest;
    Team::sync();
    const u32 from = Team::lane() % Team::warps;
    least = warp_min((Key)space.least[from]);
    greatest = warp_max((Key)space.greatest[from]);
  }

  // The bin that holds the `want`-th counted from the top; leaves all counts at zero.
  __device__ void find_bin(u32 want) const {
    const u32 top = Space::bins - 1 - Team::rank() * per_thread;  // thread 0 has the highest bins
    u32 own[per_thread], sum = 0;
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      sum += own[i] = space.count[top - i];
      space.count[top - i] = 0;
    }
    u32 before = warp_scan(sum);
    if (!Team::is_warp) {
      if (Team::lane() == 31) space.totals[Team::warp()] = before;
      Team::sync();
      const u32 total = Team::lane() < Team::warps ? space.totals[Team::lane()] : 0;
      before += __reduce_add_sync(~0u, Team::lane() < Team::warp() ? total : 0);
    }
    before -= sum;
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

  // The threshold of the k best, 1 <= k <= candidates. `keys` and `positions` are anywhere.
  __device__ Threshold threshold(const Key* keys, const u32* positions, u32 m, u32 k) const {
    Key least = ~(Key)0, greatest = 0;
    for (u32 i = Team::rank(); i < m; i += Team::size) {
      const Key x = keys[i];
      least = x < least ? x : least;
      greatest = x > greatest ? x : greatest;
    }
    range(least, greatest);

    Threshold result;
    bool by_index = false;  // all that is left has the key result.key
    u32 want = k;
    while (true) {
      const int length = bit_length((Key)(greatest - least));
      const int shift = length > Space::bits ? length - Space::bits : 0;
      for (u32 i = Team::rank(); i < m; i += Team::size) {
        const Key x = by_index ? (Key)~positions[i] : keys[i];
        const bool left = x >= least && x <= greatest && (!by_index || keys[i] == result.key);
        if (left) atomicAdd(&space.count[(u32)((x - least) >> shift)], 1u);
      }
      Team::sync();
      find_bin(want);
      const u32 inside = space.inside;
      want -= space.above;
      least += (Key)space.bin << shift;
      const Key width = ((Key)1 << shift) - 1;
      greatest = greatest - least < width ? greatest : least + width;
      if (inside == want) {  // the whole bin
        if (!by_index) result.key = least, result.last = NOWHERE;
        if (by_index) result.last = ~(u32)least;
        return result;
      }
      if (inside <= Space::few) break;
      if (shift == 0) {  // one key, more of it than wanted
        result.key = least;
        by_index = true;
        least = 0, greatest = (u32)~0u;
      }
    }

    // Few are left: their order by comparing all pairs.
    for (u32 i = Team::rank(); i < m; i += Team::size) {
      const Key x = by_index ? (Key)~positions[i] : keys[i];
      if (x >= least && x <= greatest && (!by_index || keys[i] == result.key)) {
        Entry<u64>& entry = space.short_list[atomicAdd(&space.length, 1u)];
        entry.key = keys[i];
        entry.index = positions[i];
      }
    }
    Team::sync();
    const u32 few = space.length;
    for (u32 i = Team::rank(); i < few; i += Team::size) {
      const Entry<u64> entry = space.short_list[i];
      u32 ahead = 0;
      for (u32 j = 0; j < few; ++j) ahead += better(space.short_list[j], entry);
      if (ahead == want - 1) space.threshold = entry.key, space.last = entry.index;
    }
    Team::sync();
    if (Team::rank() == 0) space.length = 0;
    result.key = (Key)space.threshold;
    result.last = space.last;
    return result;
  }

  // Gives the selected candidates to sink(place, key, index), place counting from 0 in candidate
  // order. Warps take neighbouring runs of candidates.
  template <class Sink>
  __device__ void emit(const Key* keys, const u32* positions, u32 m, const Threshold& threshold, const Sink& sink) const {
    const u32 run = ((m + Team::warps - 1) / Team::warps + 31) / 32 * 32;
    const u32 begin = Team::warp() * run, end = begin + run < m ? begin + run : m;
    u32 place = 0;
    if (!Team::is_warp) {
      u32 own = 0;
      for (u32 i = begin + Team::lane(); i < end; i += 32) own += threshold.passes(keys[i], positions[i]);
      own = __reduce_add_sync(~0u, own);
      if (Team::lane() == 0) space.totals[Team::warp()] = own;
      Team::sync();
      const u32 total = Team::lane() < Team::warp() ? space.totals[Team::lane()] : 0;
      place = __reduce_add_sync(~0u, total);
    }
    for (u32 base = begin; base < end; base += 32) {
      const u32 i = base + Team::lane();
      const Key key = i < end ? keys[i] : 0;
      const u32 index = i < end ? positions[i] : NOWHERE;
      const bool selected = i < end && threshold.passes(key, index);
      const u32 ballot = __ballot_sync(~0u, selected);
      if (selected) sink(place + __popc(ballot & ((1u << Team::lane()) - 1)), key, index);
      place += __popc(ballot);
    }
  }
};
