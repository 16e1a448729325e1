// Stage 2 for a team: the k best of m candidates, ties to the lower index.
//
// 1. bound      The k-th of groups' best candidates is a lower bound of the k-th candidate, and
//               hardly below it. A thread keeps what reaches it, in place; the rest is not looked at
//               again. Skipped where candidates are not many times k.
// 2. threshold  A radix select whose digits fit the data: the range of the keys left is cut into
//               equal bins, these are counted, and the bin with the k-th key is the next range.
//               Maxima of buckets lie close together, so bins of their range separate them where
//               the top bits of a key would not; one pass is the rule, ceil(bits / log2(bins)) the
//               worst case. When few are left in the bin, all pairs of them are compared; when all
//               that are left have one key, indices are selected among in the same way.
// 3. emit       What is better goes out, in candidate order.
//
// Where time is short and threads are many, survivors of the bound are ranked at once (`rank_few`).
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
  static const int few = SIZE >= 256 ? 256 : 64;  // candidates whose pairs may be compared
  Key list_keys[few];
  u32 list_positions[few];
  Key least[32], greatest[32];  // per warp
  u32 totals[32];               // per warp
  u32 bin, above, inside, length;
  Key key;
  u32 last;
  u32 count[bins];
};

// Candidates with a greater key, or this key and an index up to `last`, are selected.
struct Threshold {
  Key key;
  u32 last;
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

  // Calls f(x) for the greatest key of each `group` of the thread's candidates.
  template <class F> __device__ void each_group(u32 group, const F& f) const {
#pragma unroll 1
    for (u32 c = 0; c < mine; c += group) {
      Key best = 0;
#pragma unroll LOOK_AHEAD
      for (u32 j = c; j < c + group && j < mine; ++j) {
        const Key x = keys[Team::rank() + j * Team::size];
        best = x > best ? x : best;
      }
      f(best);
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

  // Drops candidates that can't be among the k best. Returns the least and greatest key left.
  __device__ void bound(u32 k, u32 group, Key& least, Key& greatest) {
    least = ~(Key)0, greatest = 0;
    each_group(group, [&](Key x) {
      least = x < least ? x : least;
      greatest = x > greatest ? x : greatest;
    });
    range(least, greatest);
    const int shift = shift_for(greatest - least);
    each_group(group, [&](Key x) { count(x - least, shift); });
    Team::sync();
    find_bin(k);
    least += (Key)space.bin << shift;
    u32 kept = Team::rank();
    each([&](u32 i, Key x) {
      if (x < least) return;
      keys[kept] = x;  // at i or before it
      positions[kept] = positions[i];
      kept += Team::size;
    });
    mine = kept / Team::size;
  }

  // The threshold of the k best, 1 <= k < candidates.
  __device__ Threshold threshold(u32 k, u32 m) {
    Key least, greatest;
    // As many groups as give a good bound: half as many again as are wanted.
    const u32 group = 3 * k <= 2 * Team::size ? mine : m / (k + k / 2);
    if (m >= 3 * k && m >= Team::size && k < 1u << 30) {
      bound(k, group > 1 ? group : 1, least, greatest);
    } else {
      least = ~(Key)0, greatest = 0;
      each([&](u32, Key x) {
        least = x < least ? x : least;
        greatest = x > greatest ? x : greatest;
      });
      range(least, greatest);
    }

    Threshold result = {0, NOWHERE};
    bool by_index = false;  // all that is left has the key result.key
    u32 want = k;
    // What is left of a candidate to be ordered by, and whether it is in the range.
    const auto digit = [&](u32 i, Key x) { return by_index ? (Key)~positions[i] : x; };
    const auto left = [&](Key x, Key d) { return d >= least && d <= greatest && (!by_index || x == result.key); };
    while (true) {
      const int shift = shift_for(greatest - least);
      each([&](u32 i, Key x) {
        const Key d = digit(i, x);
        if (left(x, d)) count(d - least, shift);
      });
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
      if (inside <= 64) break;
      if (shift == 0) {  // one key, more of it than wanted
        result.key = least;
        by_index = true;
        least = 0, greatest = (u32)~0u;
      }
    }

    each([&](u32 i, Key x) {
      if (!left(x, digit(i, x))) return;
      append(x, positions[i]);
    });
    Team::sync();
    const u32 few = space.length;
#pragma unroll 1
    for (u32 i = Team::rank(); i < few; i += Team::size) {
      const Entry<Key> entry = {space.list_keys[i], space.list_positions[i]};
      u32 ahead = 0;
#pragma unroll 1
      for (u32 j = 0; j < few; ++j) {
        const Entry<Key> other = {space.list_keys[j], space.list_positions[j]};
        ahead += better(other, entry);
      }
      if (ahead == want - 1) space.key = entry.key, space.last = entry.index;
    }
    Team::sync();
    if (Team::rank() == 0) space.length = 0;
    result.key = space.key;
    result.last = space.last;
    return result;
  }

  // Gives the selected candidates to sink(place, key, index), neighbouring threads at neighbouring
  // places.
  template <class Sink> __device__ void emit(const Threshold& threshold, const Sink& sink) {
    u32 kept = Team::rank();
    each([&](u32 i, Key x) {
      if (x < threshold.key || (x == threshold.key && positions[i] > threshold.last)) return;
      keys[kept] = x;
      positions[kept] = positions[i];
      kept += Team::size;
    });
    mine = kept / Team::size;
    u32 place = 0;
    if (!Team::is_warp) {
      const u32 own = __reduce_add_sync(~0u, mine);
      if (Team::lane() == 0) space.totals[Team::warp()] = own;
      Team::sync();
      place = __reduce_add_sync(~0u, Team::lane() < Team::warp() ? space.totals[Team::lane()] : 0);
    }
    const u32 most = __reduce_max_sync(~0u, mine);
#pragma unroll 1
    for (u32 c = 0; c < most; ++c) {
      const u32 ballot = __ballot_sync(~0u, c < mine);
      const u32 i = Team::rank() + c * Team::size;
      if (c < mine) sink(place + __popc(ballot & ((1u << Team::lane()) - 1)), keys[i], positions[i]);
      place += __popc(ballot);
    }
  }

  // After `bound`, as quick as can be for a team with nothing else to do: survivors are ranked by
  // comparing all pairs, and a rank is a place in the output. Gives nothing and returns false where
  // they are too many. 1 <= k <= m, 3 k <= 2 threads.
  template <class Sink> __device__ bool rank_few(u32 k, u32 m, const Sink& sink) {
    Key least, greatest;
    bound(k, mine, least, greatest);
    each([&](u32 i, Key x) { append(x, positions[i]); });
    Team::sync();
    const u32 length = space.length;
    if (length <= Space::few) {
      u32 shift = 0;  // log2 of the neighbouring threads that share a survivor's comparisons
      while (shift < 5 && length << (shift + 1) <= Team::size) ++shift;
      const u32 i = Team::rank() >> shift, part = Team::rank() & ((1u << shift) - 1);
      const Entry<Key> entry = {space.list_keys[i % Space::few], space.list_positions[i % Space::few]};
      u32 ahead = 0;
#pragma unroll 4
      for (u32 j = part; j < length; j += 1u << shift) {
        const Key key = space.list_keys[j];
        const u32 index = space.list_positions[j];
        ahead += (key > entry.key) | ((key == entry.key) & (index < entry.index));
      }
#pragma unroll 1
      for (u32 d = 1u << shift >> 1; d; d /= 2) ahead += __shfl_xor_sync(~0u, ahead, d);
      if (part == 0 && i < length && ahead < k) sink(ahead, entry.key, entry.index);
    }
    Team::sync();
    if (Team::rank() == 0) space.length = 0;
    return length <= Space::few;
  }

  __device__ void append(Key key, u32 index) const {
    const u32 at = atomicAdd(&space.length, 1u);
    if (at < Space::few) space.list_keys[at] = key, space.list_positions[at] = index;
  }
};
