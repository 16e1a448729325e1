// Short rows, few winners, in one launch: LANES lanes of a warp hold a row in registers.
//
// Shapes   arr: rows of n elements of any strides, each divided among LANES lanes, at most 32 to one;
//          values and indices: k of each row, best first. k <= LANES.
// Ties     to the lower index.
// When     rows are short, and loads divide buckets among lanes evenly (interleaved, b = LANES * BUCKETS);
//          or (DROPS 0) buckets drop nothing that counts, or what they drop is wanted: for exact answers.
// Moves    each element once (those listed come again, from L1), and the output.
//
// 1. bound   A lane's buckets fall into groups. The bound is the k-th of what lanes have as the best of
//            a group, and as that of another one: so many groups hold a candidate that reaches it.
// 2. list    What reaches the bound, a little more than k elements, is listed in shared memory: without
//            those that their buckets drop, which is for a lane to tell, since it has all of a bucket.
// 3. rank    Each entry of the list is compared with all others.
//
// From the command line: LANES, STEPS (loads of V elements, of a lane), PARTIAL (whether the last may lack
// some), GROUPS and BUCKETS (of a lane; those divide these), KB, V, DROPS, AT_ONCE (entries of a list that
// a lane ranks), NESTED (whether p.inner tells where rows are), STRIDED, CERTIFY (0, 1: whether something
// was dropped that is better than the k-th).

static const int SLOTS = STEPS * V;
static const u32 ROWS = THREADS / LANES;
// Of a list: what is better than a bound is in fewer than k of the groups that tell it, two of a lane, or
// else in a lane's other groups; and k that tie with it.
static const u32 ROUND = AT_ONCE * LANES, MOST = (LANES - 1) / 2 * SLOTS + (SLOTS + GROUPS - 1) / GROUPS + LANES;
static const u32 ROOM = (MOST + ROUND - 1) / ROUND * ROUND;
// More than are listed as a rule: then those that tie with the bound are looked at closely.
static const u32 MANY = ROOM < 2 * ROUND ? ROOM : 2 * ROUND;

// Whether each bucket has a bar of its own from the beginning, the last that it keeps, so that hardly any is found full
// and has to be looked at closely. Not where a certificate wants to know all that reach the bound, and few are full.
#define BARS (DROPS && KB <= 2 && !(CERTIFY && KB == 2))

__device__ constexpr u32 first_slots() {  // of a lane's first bucket
  u32 slots = 0;
  for (int slot = 0; slot < SLOTS; slot += BUCKETS) slots |= 1u << slot;
  return slots;
}
__device__ inline u32 slots_of(u32 bucket) { return first_slots() << bucket; }

__device__ inline u32 last(u32 slots) { return 31 - __clz(slots); }
__device__ inline u32 lowest(u32 slots, u32 count) {
#pragma unroll 1
  while (__popc(slots) > count) slots ^= 1u << last(slots);
  return slots;
}

__device__ inline Key greater(Key x, Key y) { return x > y ? x : y; }
__device__ inline Key less(Key x, Key y) { return x < y ? x : y; }

__device__ inline void add_if_no_less(u32& sum, u32 x, u32 y, u32 more) {
#ifdef __CUDA_ARCH__
  asm("{.reg .pred p; setp.ge.u32 p, %1, %2; @p add.u32 %0, %0, %3;}" : "+r"(sum) : "r"(x), "r"(y), "r"(more));
#else
  if (x >= y) sum += more;
#endif
}
__device__ inline void add_if_no_less(u32& sum, u64 x, u64 y, u32 more) {
  if (x >= y) sum += more;
}
// And what is less goes into `most`, the greatest of it.
__device__ inline void add_if_no_less(u32& sum, u32 x, u32 y, u32 more, u32& most) {
#ifdef __CUDA_ARCH__
  asm("{.reg .pred p; setp.ge.u32 p, %2, %3; @p add.u32 %0, %0, %4; @!p max.u32 %1, %1, %2;}" : "+r"(sum), "+r"(most) : "r"(x), "r"(y), "r"(more));
#else
  if (x >= y)
    sum += more;
  else
    most = greater(most, x);
#endif
}
__device__ inline void add_if_no_less(u32& sum, u64 x, u64 y, u32 more, u64& most) {
  if (x >= y)
    sum += more;
  else
    most = greater(most, x);
}

// A lane's part of a row. Slots are in the order of their indices; a bucket has each BUCKETS-th.
struct Part {
  const Bits* arr;  // the row
  i64 step;
  u32 lane, n;
  Key keys[SLOTS];

  __device__ u32 index_of(u32 slot) const { return (slot / V * LANES + lane) * V + slot % V; }
  __device__ Bits element(u32 index) const { return arr[index * step]; }
  __device__ Listed entry(u32 slot) const { return listed(element_key(element(index_of(slot))), index_of(slot)); }

  // A bit for each slot that has an element.
  __device__ u32 valid() const {
    const u32 first = index_of(SLOTS - V), rest = !PARTIAL || first + V <= n ? V : first < n ? n - first : 0;
    return (1u << (SLOTS - V)) - 1 | ((1u << rest) - 1) << (SLOTS - V);
  }

  __device__ void load(Chunk (&chunks)[STEPS]) const {
    const Bits* const at = arr + lane * V * step;
    const i64 pitch = LANES * V * step;
#pragma unroll
    for (int s = 0; s < STEPS - PARTIAL; ++s) chunks[s].template load<true>(at + s * pitch);
#if PARTIAL
#pragma unroll
    for (int w = 0; w < Chunk::words; ++w) chunks[STEPS - 1].word[w] = 0;
    const u32 slots = valid();
#pragma unroll
    for (int u = 0; u < V; ++u) {
      if (slots >> (SLOTS - V + u) & 1) chunks[STEPS - 1].put(u, at[(STEPS - 1) * pitch + u * step]);
    }
#endif
  }

  // Slots without an element get the least key.
  __device__ void fill(const Chunk (&chunks)[STEPS]) {
#pragma unroll
    for (int s = 0; s < STEPS; ++s) {
#pragma unroll
      for (int w = 0; w < Chunk::words; ++w) {
        const Word x = order<Element, LARGEST>(chunks[s].word[w]);
#pragma unroll
        for (int e = 0; e < Element::per_word && e < V; ++e) {
          const int slot = s * V + w * Element::per_word + e;
          keys[slot] = key_at<Element>(x, e);
          if (PARTIAL && slot >= SLOTS - V && !(valid() >> slot & 1)) keys[slot] = 0;
        }
      }
    }
  }

  // The best key of each bucket.
  __device__ void best_of(Key (&best)[BUCKETS]) const {
#pragma unroll
    for (int bucket = 0; bucket < BUCKETS; ++bucket) best[bucket] = 0;
#pragma unroll
    for (int slot = 0; slot < SLOTS; ++slot) best[slot % BUCKETS] = greater(best[slot % BUCKETS], keys[slot]);
  }
  // The second best, 0 where there is none.
  __device__ void second_of(Key (&second)[BUCKETS]) const {
#pragma unroll
    for (int bucket = 0; bucket < BUCKETS; ++bucket) {
      Key best = second[bucket] = 0;
#pragma unroll
      for (int slot = bucket; slot < SLOTS; slot += 2 * BUCKETS) {
        const Key x = keys[slot], y = slot + BUCKETS < SLOTS ? keys[slot + BUCKETS] : 0;
        second[bucket] = greater(greater(second[bucket], less(x, y)), less(best, greater(x, y)));
        best = greater(best, greater(x, y));
      }
    }
  }

  // The slots whose keys are no less than their buckets' bars.
  __device__ u32 reaching(const Key (&bars)[BUCKETS]) const {
    u32 slots[4] = {0, 0, 0, 0};  // four chains of additions
#pragma unroll
    for (int slot = 0; slot < SLOTS; ++slot) add_if_no_less(slots[slot % 4], keys[slot], bars[slot % BUCKETS], 1u << slot);
    return (slots[0] | slots[1] | slots[2] | slots[3]) & valid();
  }
  // And the greatest of the keys that are less.
  __device__ u32 reaching(const Key (&bars)[BUCKETS], Key& most_less) const {
    u32 slots[2] = {0, 0};
    Key most[2] = {0, 0};
#pragma unroll
    for (int slot = 0; slot < SLOTS; ++slot) {
      add_if_no_less(slots[slot % 2], keys[slot], bars[slot % BUCKETS], 1u << slot, most[slot % 2]);
    }
    most_less = greater(most[0], most[1]);
    return (slots[0] | slots[1]) & valid();
  }
  __device__ u32 reaching(Key bar) const {
    Key bars[BUCKETS];
#pragma unroll
    for (int bucket = 0; bucket < BUCKETS; ++bucket) bars[bucket] = bar;
    return reaching(bars);
  }

  __device__ static bool any_full(u32 slots) {
    bool full = false;
#pragma unroll
    for (u32 bucket = 0; bucket < BUCKETS; ++bucket) full |= __popc(slots & slots_of(bucket)) > KB;
    return full;
  }

  // What is left of some slots once each bucket has dropped its worst but KB.
  __device__ u32 kept_of(u32 slots) const {
#if KB == 2 && !BARS  // else they have been left out
    Key second[BUCKETS];
    second_of(second);
    slots &= reaching(second);  // ties with it are left
#endif
#pragma unroll 1
    while (any_full(slots)) {
#pragma unroll
      for (u32 bucket = 0; bucket < BUCKETS; ++bucket) {
        Key worst = ~(Key)0;
#pragma unroll
        for (int slot = bucket; slot < SLOTS; slot += BUCKETS) worst = slots & 1u << slot ? less(worst, keys[slot]) : worst;
        u32 tied = 0;
#pragma unroll
        for (int slot = bucket; slot < SLOTS; slot += BUCKETS) tied |= keys[slot] == worst ? slots & 1u << slot : 0;
        const u32 above = __popc(slots & slots_of(bucket) & ~tied);
        slots = slots & ~tied | lowest(tied, above < KB ? KB - above : 0);
      }
    }
    return slots;
  }
};

// Puts the greater key into the lower lane of those that differ in the bits d, `upper` the highest of them.
__device__ inline void compare_lanes(u32 lane, u32 d, u32 upper, Key& key) {
  const Key other = __shfl_xor_sync(~0u, key, d);
  key = lane & upper ? less(key, other) : greater(key, other);
}

// Two keys of each lane, into order over the lanes of a row, best first: bitonic, all comparators one way.
__device__ inline void sort_lanes(u32 lane, Key& first, Key& second) {
#pragma unroll
  for (u32 size = 2; size <= LANES; size *= 2) {
    compare_lanes(lane, size - 1, size / 2, first);
    if (GROUPS > 1) compare_lanes(lane, size - 1, size / 2, second);
#pragma unroll
    for (u32 d = size / 4; d > 0; d /= 2) {
      compare_lanes(lane, d, d, first);
      if (GROUPS > 1) compare_lanes(lane, d, d, second);
    }
  }
}

// The k-th of what a row's lanes, from `base` on, have as the best of a group of buckets, and of another.
__device__ inline Key bound(u32 k, u32 base, u32 lane, const Key (&best)[BUCKETS]) {
  Key first = 0, second = 0;
#pragma unroll
  for (int group = 0; group < GROUPS; ++group) {
    Key x = 0;
#pragma unroll
    for (int bucket = group; bucket < BUCKETS; bucket += GROUPS) x = greater(x, best[bucket]);
    second = greater(second, less(first, x));
    first = greater(first, x);
  }
  sort_lanes(lane, first, second);
  // The best k are the better ones of the i-th of these and the (k - 1 - i)-th of those.
  if (GROUPS > 1) first = greater(first, __shfl_sync(~0u, second, base + (k - 1 - lane) % LANES));
  Key least = lane < k ? first : ~(Key)0;
#pragma unroll
  for (u32 d = LANES / 2; d > 0; d /= 2) least = less(least, __shfl_xor_sync(~0u, least, d));
  return least;
}

// Sum over the lanes of a row up to this one.
__device__ inline u32 sum_up_to(u32 lane, u32 x) {
#pragma unroll
  for (u32 d = 1; d < LANES; d *= 2) {
    const u32 other = __shfl_up_sync(~0u, x, d);
    if (lane >= d) x += other;
  }
  return x;
}
__device__ inline u32 total_of(u32 base, u32 up_to) { return __shfl_sync(~0u, up_to, base + LANES - 1); }

// Of slots that tie, those of the lowest indices of a row, `count` in all lanes.
__device__ inline u32 lowest_of_row(u32 base, u32 lane, u32 slots, u32 count) {
  u32 found = 0;
#pragma unroll 1
  for (int step = 0; step < STEPS && __any_sync(~0u, count); ++step) {
    const u32 here = slots & ((1u << V) - 1) << step * V, own = __popc(here), up_to = sum_up_to(lane, own);
    const u32 before = up_to - own, total = total_of(base, up_to);
    found |= lowest(here, before < count ? count - before : 0);
    count -= total < count ? total : count;
  }
  return found;
}

// Where a row begins in one of the arrays.
template <class T> __device__ inline T* begin_of(const Params& p, T* array, const Rows& rows, u32 row) {
  array += NESTED ? (row / p.inner) * rows.outer + (row % p.inner) * rows.inner_stride : row * rows.outer;
#ifdef __CUDA_ARCH__
  asm volatile("" : "+l"(array));  // one addition now, not two for each address made of it
#endif
  return array;
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) short_rows(const Params p) {
  __shared__ __align__(16) Listed lists[ROWS][ROOM];
  __shared__ Listed winners[ROWS][LANES];
  const u32 team = threadIdx.x / LANES, base = threadIdx.x / LANES * LANES % 32;
  const i64 wanted = (i64)blockIdx.x * ROWS + team;
  const bool there = wanted < p.rows;
  const u32 row = there ? wanted : p.rows - 1;

  Part part;
  part.arr = begin_of(p, p.arr, p.in, row);
  part.step = STRIDED ? p.in.step : 1;
  part.lane = threadIdx.x % LANES;
  part.n = p.n;
  Chunk chunks[STEPS];
  // The next launch is not let begin: its blocks would be in the way of these, 6.2 us for 5.3.
  await_launch_before();
  part.load(chunks);
  // While these are on their way:
  Bits* const values = begin_of(p, p.values, p.out, row);
  Index* const indices = begin_of(p, (Index*)p.indices, p.index_out, row);
  part.fill(chunks);

  Key best[BUCKETS];
  part.best_of(best);
  const Key least = bound(p.k, base, part.lane, best);
#if BARS
  Key bars[BUCKETS];
  if (KB == 2) part.second_of(bars);
#pragma unroll
  for (u32 bucket = 0; bucket < BUCKETS; ++bucket) bars[bucket] = greater(least, KB == 2 ? bars[bucket] : best[bucket]);
#if CERTIFY
  Key dropped;  // the best of what reaches no bar
  u32 hits = part.reaching(bars, dropped);
#else
  u32 hits = part.reaching(bars);
#endif
#else
  u32 hits = part.reaching(least);
#endif
  [[maybe_unused]] const u32 reaching = hits;
#if DROPS
  if (__builtin_expect(__any_sync(~0u, Part::any_full(hits)), 0)) hits = part.kept_of(hits);
#endif
  u32 up_to = sum_up_to(part.lane, __popc(hits)), count = total_of(base, up_to);
  u32 most = __reduce_max_sync(~0u, count);
  if (__builtin_expect(most > MANY, 0)) {
    const u32 above = least == ~(Key)0 ? 0 : hits & part.reaching(least + 1);
    const u32 all_above = total_of(base, sum_up_to(part.lane, __popc(above)));
    hits = above | lowest_of_row(base, part.lane, hits ^ above, all_above < p.k ? p.k - all_above : 0);
    up_to = sum_up_to(part.lane, __popc(hits)), count = total_of(base, up_to);
    most = __reduce_max_sync(~0u, count);
  }

  Listed* const list = lists[team];
  Listed* to = list + up_to - __popc(hits);
#pragma unroll 1
  for (u32 left = hits; left; left ^= 1u << last(left)) *to++ = part.entry(last(left));
  const int batch = sizeof(Key) == 8 ? 2 : 4;
  for (u32 i = count + part.lane; i < (most + batch - 1) / batch * batch; i += LANES) list[i] = listed((Key)0, NOWHERE);
  __syncwarp();
#pragma unroll 1
  for (u32 first = 0; first < most; first += ROUND) {
    Listed entries[AT_ONCE];
    u32 ahead[AT_ONCE];
#pragma unroll
    for (u32 e = 0; e < AT_ONCE; ++e) entries[e] = list[first + e * LANES + part.lane], ahead[e] = 0;
#pragma unroll 1
    for (u32 j = 0; j < most; j += batch) {
      Listed others[batch];
#pragma unroll
      for (int i = 0; i < batch; ++i) others[i] = list[j + i];
#pragma unroll
      for (int i = 0; i < batch; ++i) {
#pragma unroll
        for (u32 e = 0; e < AT_ONCE; ++e) count_better(ahead[e], others[i], entries[e]);
      }
    }
#pragma unroll
    for (u32 e = 0; e < AT_ONCE; ++e) {
      if (first + e * LANES + part.lane < count && ahead[e] < p.k) winners[team][ahead[e]] = entries[e];
    }
  }
  __syncwarp();
  if (there && part.lane < p.k) {
    const u32 index = index_of(winners[team][part.lane]);
    values[part.lane * p.out.step] = part.element(index);
    indices[part.lane * p.index_out.step] = (Index)index;
  }
#if CERTIFY
  // Whatever reaches the bound and is not listed was dropped, or ties with tau at a higher index.
  const Listed tau = winners[team][p.k - 1];
  bool wrong = false;
  u32 left = reaching & ~hits;
#if BARS
  wrong = dropped > key_of(tau);
  const bool ties = dropped == key_of(tau);
  if (__builtin_expect(__any_sync(~0u, ties), 0)) {  // then the row is held once more: few registers are left for it till then
    part.load(chunks);
    part.fill(chunks);
    left |= ties ? part.reaching(key_of(tau)) & ~hits : 0;
  }
#endif
#pragma unroll 1
  for (; left; left ^= 1u << last(left)) {
    u32 is_better = 0;
    count_better(is_better, part.entry(last(left)), tau);
    wrong |= is_better;
  }
  const u32 wrongs = __ballot_sync(~0u, wrong) >> base & ~0u >> (32 - LANES);
  if (there && part.lane == 0) p.exact[row] = wrongs == 0;
#endif
}
