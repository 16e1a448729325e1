// Stage 1 for a thread: walk down some buckets of a row and keep the best kb of each.
//
// A row's b buckets are split into b * parts virtual buckets, each an arithmetic sequence:
//   interleaved  virtual bucket v holds v, v + stride, ...; stride = b * parts; its bucket is v % b
//   contiguous   the run of bucket j is split likewise, with stride = parts
// A thread owns V neighbouring virtual buckets, so a step is one load of V neighbouring elements.
// Splitting costs nothing but the merge, and makes threads where buckets are few.
//
// From the command line: KB, V, BATCH (loads in flight, an even number), QUEUES (see queue.cuh),
// INTERLEAVED, STRIDED (elements of a row may be apart), LATE (the last steps alone are watched: of what is
// dropped before it is known that it is worse than the last candidates of then), STEPS (how many all threads
// have to walk, without a loop if they can all be in flight; 0 where the kernel is for any number), UNEVEN
// (0, 1: then some have one more), EVEN (0, 1: all have as many, a multiple of BATCH), UNALIGNED (see params.cuh).

// Buckets that share a best key lost (see ranking.cuh): a thread's, where no lists are merged.
#define GROUP (INTERLEAVED && !MERGE ? V : 1)

// Element u of step s is base[(first + s * stride + u) * element_step], where that is < length.
struct Place {
  const Bits* base;
  i64 element_step;
  u32 first, stride, length;
  u32 steps, rest;  // length / stride, length % stride
  u32 index;        // of the element base[0] in its row; UNALIGNED: it wraps, where that is in front
#if UNALIGNED
  u32 lead;         // base[0] is the first chunk's; the row begins so many elements behind it
#endif
#if LATE
  u32 watched;      // the last steps
#endif
};

// A step of which only the first `count` elements exist.
template <bool WATCHED> __device__ inline void insert_partial(Queues& queues, const Place& place, u32 step, u32 count) {
  const Bits* at = place.base + (place.first + (u64)step * place.stride) * place.element_step;
#pragma unroll
  for (int u = 0; u < V; ++u) {
    if (u < count) queues.insert_at<WATCHED>(u, at[u * place.element_step], step);
  }
}

// Whether step 0 is the chunk that an unaligned row begins in.
__device__ inline bool is_cut([[maybe_unused]] const Place& place) {
#if UNALIGNED
  return place.first < place.lead;
#else
  return false;
#endif
}
// A chunk, or what a row has of the one that it begins in.
__device__ inline void load(Chunk& chunk, const Bits* at, [[maybe_unused]] const Place& place, [[maybe_unused]] bool cut) {
#if UNALIGNED
  if (cut) return chunk.load_behind(at, place.lead);
#endif
  chunk.load(at);
}
template <bool WATCHED>
__device__ inline void insert(Queues& queues, const Chunk& chunk, u32 step, [[maybe_unused]] const Place& place, [[maybe_unused]] bool cut) {
#if UNALIGNED
  if (cut) {
#pragma unroll
    for (int u = 1; u < V; ++u) {
      if (u >= place.lead) queues.insert_at<WATCHED>(u, chunk.element(u), step);
    }
    return;
  }
#endif
  queues.insert<WATCHED>(chunk.word, step);
}
// Two steps, of which the second one may be cut.
template <bool WATCHED>
__device__ inline void insert_two(Queues& queues, const Chunk& a, const Chunk& b, u32 step, const Place& place, bool cut) {
  if (UNALIGNED && cut) {
    queues.insert<WATCHED>(a.word, step);
    return insert<WATCHED>(queues, b, step - 1, place, true);
  }
  queues.insert_two<WATCHED>(a.word, b.word, step);
}

// A batch of steps, the first at `at`.
template <bool WATCHED>
__device__ inline void walk_batch(Queues& queues, const Place& place, const Bits*& at, i64 pitch, u32& steps) {
  const bool cut = is_cut(place) && steps == BATCH;
  Chunk chunks[BATCH];
#pragma unroll
  for (int i = 0; i < BATCH; ++i) load(chunks[i], at - i * pitch, place, cut && i + 1 == BATCH);
#pragma unroll
  for (int i = 0; i < BATCH; i += 2) {
    insert_two<WATCHED>(queues, chunks[i], chunks[i + 1], steps - 1 - i, place, cut && i + 2 == BATCH);
  }
  steps -= BATCH, at -= BATCH * pitch;
}
// Batches of steps, down to those below `end`.
template <bool WATCHED>
__device__ inline void walk_batches(Queues& queues, const Place& place, const Bits*& at, i64 pitch, u32& steps, u32 end) {
  while (steps > end) walk_batch<WATCHED>(queues, place, at, pitch, steps);
}

#define WITHOUT_LOOP (STEPS && STEPS + UNEVEN <= BATCH)
#if WITHOUT_LOOP
// All steps, in flight together; there are as many for any thread that has some, but (UNEVEN) for one more or a part of it.
__device__ inline void walk_at_once(Queues& queues, const Place& place) {
  const i64 pitch = place.stride * place.element_step;
  const Bits* const at = place.base + place.first * place.element_step;
#if UNEVEN
  Chunk last;
  const u32 count = place.first < place.rest ? place.rest - place.first : 0;
  if (count >= V) last.load(at + STEPS * pitch);
#endif
  Chunk chunks[STEPS];
#pragma unroll
  for (int i = STEPS - 1; i >= 0; --i) chunks[i].load(at + i * pitch);
#if UNEVEN
  if (count >= V)
    queues.insert<true>(last.word, STEPS);
  else if (count)
    insert_partial<true>(queues, place, STEPS, count);
#endif
#pragma unroll
  for (int i = STEPS - 1; i > 0; i -= 2) queues.insert_two<true>(chunks[i].word, chunks[i - 1].word, i);
  if (STEPS % 2) queues.insert<true>(chunks[0].word, 0);
}
#endif

// Meets every element of V virtual buckets once, in falling order. Reads nothing else. LATE: calls begin_watch()
// before the steps that are watched.
template <class F> __device__ inline void walk(Queues& queues, const Place& place, [[maybe_unused]] const F& begin_watch) {
  queues.clear();
  if (place.first >= place.length) return;
#if WITHOUT_LOOP
  return walk_at_once(queues, place);
#endif
  u32 steps = place.steps;  // of V elements each
#if !EVEN
  if (place.first < place.rest) {
    const u32 count = place.rest - place.first;
    if (count >= V)
      ++steps;
    else
      insert_partial<!LATE>(queues, place, steps, count);
  }
  if (steps == 0) return;
#endif

  const i64 pitch = place.stride * place.element_step;
  const Bits* at = place.base + place.first * place.element_step + (i64)(steps - 1) * pitch;
#if EVEN
  walk_batch<!LATE>(queues, place, at, pitch, steps);  // by less arithmetic: queues are known to be empty
#else
  const u32 odd = steps % BATCH;
  if (odd) {  // the batch that is not full goes first, so that its loads too are in flight together
    const bool cut = is_cut(place) && steps == odd;
    Chunk chunks[BATCH];
#pragma unroll
    for (int i = 0; i < BATCH; ++i) {
      if (i < odd) load(chunks[i], at - i * pitch, place, cut && i + 1 == odd);
    }
#pragma unroll
    for (int i = 0; i < BATCH; ++i) {
      // One jump over those that are not there, not one for each. (Of 16 that costs the batches below more than it
      // saves here.)
      if (BATCH <= 8 && i == odd) break;
      if (BATCH > 8 && i >= odd) continue;
      insert<!LATE>(queues, chunks[i], steps - 1 - i, place, cut && i + 1 == odd);
    }
    at -= odd * pitch;
    steps -= odd;
  }
#endif
#if LATE
  walk_batches<false>(queues, place, at, pitch, steps, place.watched);
  begin_watch();
#endif
  walk_batches<true>(queues, place, at, pitch, steps, 0);
}
__device__ inline void walk(Queues& queues, const Place& place) {
  walk(queues, place, [] {});
}

// Index in the row of what queue u holds at place i, where it is not empty.
template <class Queue> __device__ inline u32 index_in(const Queue& queue, const Place& place, int u, int i) {
  return place.index + place.first + queue.step(i) * place.stride + u;
}
template <class Queue> __device__ inline u32 index_at(const Queue& queue, const Place& place, int u, int i) {
  return queue.empty(i) ? NOWHERE : index_in(queue, place, u, i);
}

// A block's tile: `block_rows` rows, `tile` buckets, `parts` parts of each. A thread's share of it
// is V virtual buckets; the list of virtual bucket u has the place list + u * list_step in the
// block's order: row, part, bucket, the last fastest.
struct Share {
  u32 row, bucket, part;  // of u = 0
  u32 list, list_step;
};

__device__ inline Share share_of(const Params& p, u32 thread) {
  Share share;
#if ROWS_FIRST  // neighbouring threads take neighbouring rows; V is 1
  share.row = thread % p.block_rows;
  share.bucket = thread / p.block_rows % p.tile;
  share.part = thread / p.block_rows / p.tile;
#elif INTERLEAVED  // neighbouring threads take neighbouring buckets, then neighbouring parts
  const u32 v = thread * V;
  share.row = share.part = 0;
  share.bucket = v;
  if (v >= p.tile) {
    share.part = v / p.tile;
    share.bucket = v % p.tile;
    share.row = share.part / p.parts;
    share.part %= p.parts;
  }
#else  // neighbouring threads take neighbouring parts of a bucket
  const u32 groups = p.parts / V;
  share.part = thread % groups * V;
  share.bucket = thread / groups % p.tile;
  share.row = thread / groups / p.tile;
#endif
  share.list = (share.row * p.parts + share.part) * p.tile + share.bucket;
  share.list_step = INTERLEAVED ? 1 : p.tile;
  return share;
}

__device__ inline Place place_of(const Params& p, const Share& share, u32 row, u32 bucket, u32 split) {
  Place place;
  const u32 parts = p.parts * p.splits;
  const u32 part = split * p.parts + share.part;
  place.element_step = STRIDED ? p.in.step : 1;
#if LATE
  place.watched = p.watched;
#endif
  place.base = p.arr + offset_of(p.in, p.inner, row);
#if INTERLEAVED
  place.first = part * p.b + bucket;
  place.stride = p.b * parts;
  place.length = bucket < p.b ? p.n : 0;
  place.steps = p.steps;
  place.rest = p.rest;
  place.index = 0;
#if UNALIGNED
  place.lead = lead_of(place.base);
  place.base -= place.lead, place.index -= place.lead;
  if (place.length) place.length += place.lead;
  place.rest += place.lead;
  if (place.rest >= place.stride) place.rest -= place.stride, ++place.steps;
#endif
#else
  const u32 run = p.n / p.b, longer = p.n % p.b;
  place.index = bucket * run + (bucket < longer ? bucket : longer);
  place.base += place.index * place.element_step;
  place.first = part;
  place.stride = parts;
  place.length = bucket < p.b ? run + (bucket < longer) : 0;
  place.steps = place.length / parts;
  place.rest = place.length % parts;
#endif
  return place;
}
