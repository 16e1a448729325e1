// Results in order, best first, where candidates are: no more memory, and no entry moves.
//
// 1. count   Candidates that are results are counted by bins of their keys' range, as wide as each other.
// 2. count   By narrower bins where there are many: as many of a bin of before as make two of its candidates in
//            each, if they are spread evenly in it.
// 3. place   Bins begin where those before them end. Candidates are listed there, in any order.
// 4. rank    In its bin each is compared with all. Where so many are in a bin that it would take long, they
//            are put in order by a bitonic network.
//
// Nothing in the result depends on the order of threads.
//
// From the command line: BINNED (0, 1, 2), results are to be in order, and no more than SelectSpace::bins, or
// twice as many; KEY_SHIFT.

#if BINNED
// N 16-bit integers of a thread.
template <u32 N> struct Shorts {
  u32 words[(N + 1) / 2];

  __device__ u32 get(u32 e) const { return words[e / 2] >> e % 2 * 16 & 0xFFFF; }
  template <class F> __device__ void fill(const F& f) {
#pragma unroll
    for (u32 e = 0; e < N; ++e) words[e / 2] = e % 2 ? words[e / 2] | f(e) << 16 : f(e) & 0xFFFF;
  }
};

// Keys as they are binned: those of small elements, many of which tie, with 16 bits of the position below.
struct Scale {
  static const bool small = Element::bytes <= 2;
  u32 shift;

  // For positions less than n.
  __device__ static Scale of(u32 n) {
    const Scale scale = {small ? (u32)__clz(n - 1 | 1) : 0};
    return scale;
  }
  __device__ Key operator()(Key key, u32 position) const {
    return small ? key >> KEY_SHIFT << 16 | (~(position << shift) >> 16) : key;
  }
  __device__ static Key least(Key key) { return small ? key >> KEY_SHIFT << 16 : key; }
};

// Numbers BINS bins, the best first: by where scaled keys are between two. TIES: from the middle bin on by where the
// complemented positions of those with the key `tie` are, none of which is less than `least_position`.
template <u32 BINS, bool TIES> struct Numbering {
  static const bool apart = TIES && !Scale::small;
  static const u32 bins = apart ? BINS / 2 : BINS;
  Key least, greatest, tie;
  u32 least_position;
  Scale scale;

  // `inside` gets 16 bits of where in its bin something is.
  template <class X> __device__ static u32 bin_of(X distance, X width, u32& inside) {
    const int length = bit_length(width), bits = bit_length(bins - 1), below = length > bits ? length - bits : 0;
    const X rest = distance & (((X)1 << below) - 1);
    inside = 0xFFFF - (u32)(below > 16 ? rest >> (below - 16) : rest << (16 - below));
    return bins - 1 - (u32)(distance >> below);
  }
  __device__ u32 operator()(Key key, u32 position, u32& inside) const {
    if (apart && key == tie) return bins + bin_of(~position - least_position, ~0u - least_position, inside);
    const Key scaled = scale(key, position);
    // What is better than the ties may scale below `least`. Then it is before all of them, so that none of them is in the
    // list, and what is shares the last bin.
    return bin_of(TIES && scaled < least ? 0 : scaled - least, greatest - least, inside);
  }
};

template <class Selector> struct InOrder {
  typedef typename Selector::Team Team;
  typedef typename Selector::Space Space;
  static const u32 bins = BINNED * Space::bins / 2, each = BINNED * Selector::per_thread;  // bins; results of a thread
  static const u32 many = 256;  // of a bin: fewer are compared with each other
  const Selector& selector;
  u16 *const wide, *const narrow;  // counts of bins, later where they begin, and end
  u16* const slots;                // the list

  __device__ explicit InOrder(const Selector& s)
      : selector(s),
        wide(BINNED == 1 ? (u16*)s.space.count : (u16*)s.more),
        narrow(wide + bins),
        slots((u16*)s.space.count + (BINNED == 1 ? Space::bins : 0)) {}

  // Keys from `least` to `greatest`.
  __device__ Numbering<bins, false> between(Key least, Key greatest) const {
    const Scale scale = Scale::of(selector.n);
    return {Scale::least(least), scale(greatest, 0), 0, 0, scale};
  }
  // Those up to `greatest` above `tie`, and with it complemented positions from the given one on.
  __device__ Numbering<bins, true> with_ties(Key tie, u32 least_position, Key greatest) const {
    const Scale scale = Scale::of(selector.n);
    return {scale(tie, ~least_position), scale(greatest, 0), tie, least_position, scale};
  }

  // As Selector::emit, in order. All of space.count is zero.
  template <u32 ahead, class Numbers, class F, class Sink>
  __device__ void emit(u32 place, u32 total, u32 marks, const F& marked, const Numbers& number, const Sink& sink) const {
    if (total == 0) return;
    const u32 rank = Team::rank();
    const auto& keys = selector.keys;
    const auto& positions = selector.positions;
    selector.template each_marked<ahead>(marks, marked, [&](u32 i) { slots[place++] = (u16)i; });
    if (BINNED == 2) {
      for (u32 i = rank; i < bins; i += Team::size) selector.more[i] = 0;
    }
    Team::sync();
    Shorts<each> own, bin;
    own.fill([&](u32 e) { return slots[rank + e * Team::size < total ? rank + e * Team::size : 0]; });
    const auto wide_bin = [&](u32 slot, u32& inside) {
      if (BINNED == 2) asm volatile("" : "+r"(slot)::"memory");  // one after the other: registers are short
      return number(keys[slot], positions[slot], inside);
    };
    const auto narrow_bin = [&](u32 slot) {
      u32 inside;
      const u32 of = wide_bin(slot, inside), begin = wide[of], end = of + 1 < bins ? wide[of + 1] : total;
      return (begin + ((end - begin) * inside >> 16)) / 2;
    };
#pragma unroll
    for (u32 e = 0; e < each; ++e) {
      u32 inside;
      if (rank + e * Team::size < total) count(wide, wide_bin(own.get(e), inside));
    }
    Team::sync();
    begin_bins(wide);
    bin.fill([&](u32 e) { return narrow_bin(own.get(e)); });
#pragma unroll
    for (u32 e = 0; e < each; ++e) {
      if (rank + e * Team::size < total) count(narrow, bin.get(e));
    }
    Team::sync();
    const u32 most = begin_bins(narrow);
#pragma unroll
    for (u32 e = 0; e < each; ++e) {
      if (rank + e * Team::size < total) slots[count(narrow, bin.get(e))] = (u16)own.get(e);
    }
    if (Team::any(most > many)) sort_crowded();
#pragma unroll 1
    for (u32 i = rank; i < total; i += Team::size) {
      const u32 slot = slots[i], of = narrow_bin(slot);
      sink(place_of(i, of ? narrow[of - 1] : 0, narrow[of]), keys[slot], positions[slot]);
    }
  }

 private:
  // One more in a bin; two counts are in an integer. Returns what was there.
  __device__ static u32 count(u16* counts, u32 bin) {
    const u32 shift = bin % 2 * 16;
    return atomicAdd((u32*)counts + bin / 2, 1u << shift) >> shift & 0xFFFF;
  }

  // From how many are in bins to where these begin. Returns the most of this thread's. Ends with a barrier.
  __device__ u32 begin_bins(u16* counts) const {
    const u32 own = bins / Team::size;
    u16* const first = counts + Team::rank() * own;
    u32 sum = 0, most = 0;
#pragma unroll
    for (u32 i = 0; i < own; ++i) {
      const u32 inside = first[i];
      most = inside > most ? inside : most;
      sum += inside;
    }
    u32 before = selector.scan(sum);
#pragma unroll
    for (u32 i = 0; i < own; ++i) {
      const u32 inside = first[i];
      first[i] = (u16)before;
      before += inside;
    }
    Team::sync();
    return most;
  }

  // Where the i-th of the list belongs, by comparing all from `begin` to `end`.
  __device__ u32 place_of(u32 i, u32 begin, u32 end) const {
    if (end - begin > many) return i;  // these are in order
    const u32 batch = 4, slot = slots[i], index = selector.positions[slot];
    const Key key = selector.keys[slot];
    u32 place = begin;
#pragma unroll 1
    for (u32 other = begin; other < end; other += batch) {
      u32 rivals[batch];
      Key others[batch];
#pragma unroll
      for (u32 e = 0; e < batch; ++e) rivals[e] = other + e < end ? slots[other + e] : slot;  // itself is not ahead
#pragma unroll
      for (u32 e = 0; e < batch; ++e) others[e] = selector.keys[rivals[e]];
#pragma unroll
      for (u32 e = 0; e < batch; ++e) {
        u32 before = index;
        if (others[e] == key) before = selector.positions[rivals[e]];
        place += others[e] > key || before < index;
      }
    }
    return place;
  }

  // Puts bins of many in order, one after the other. Begins and ends with a barrier.
  __device__ void sort_crowded() const {
    u32 next = 0;
    for (;;) {
      Team::sync();
      Key bin = bins, unused = 0;
      for (u32 i = next + Team::rank(); i < bins && bin == bins; i += Team::size) {
        if (narrow[i] - (i ? narrow[i - 1] : 0) > many) bin = i;
      }
      selector.range(bin, unused);  // the first of them
      if (bin == bins) return Team::sync();
      next = (u32)bin + 1;
      const u32 begin = bin ? narrow[bin - 1] : 0;
      sort(slots + begin, narrow[bin] - begin);
    }
  }

  // A bitonic network whose comparators all put the better first, so that any length will do: it is as if the
  // worst came after the end.
  __device__ void sort(u16* of, u32 length) const {
#pragma unroll 1
    for (u32 size = 2; size / 2 < length; size *= 2) {
#pragma unroll 1
      for (u32 stride = size / 2; stride; stride /= 2) {
        Team::sync();
        for (u32 x = Team::rank(); 2 * x < length + size; x += Team::size) {
          const u32 a = 2 * x - (x & (stride - 1)), b = stride == size / 2 ? a ^ (size - 1) : a + stride;
          if (b >= length) continue;
          const u32 first = of[a], second = of[b];
          const Entry<Key> left = {selector.keys[first], selector.positions[first]};
          const Entry<Key> right = {selector.keys[second], selector.positions[second]};
          if (better(right, left)) of[a] = (u16)second, of[b] = (u16)first;
        }
      }
    }
  }
};
#endif
