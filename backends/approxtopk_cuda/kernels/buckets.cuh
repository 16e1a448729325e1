// Buckets of a row: which one an index is in, and reading some of them again.
//
// From the command line: KB, INTERLEAVED, STRIDED, UNALIGNED (see params.cuh).

// Elements that a thread reads again at a time: as many as it has registers for.
static const int AT_ONCE = sizeof(Key) == 8 ? 2 : 4;

struct Buckets {
  const Params& p;
  const Bits* const row;

  __device__ u32 of(u32 index) const {
#if INTERLEAVED
    index += lead_of(row);
    return p.b & (p.b - 1) ? index % p.b : index & (p.b - 1);
#else
    const u32 split = p.longer * (p.run + 1);
    return index < split ? index / (p.run + 1) : p.longer + (index - split) / p.run;
#endif
  }

  __device__ u32 index_of(u32 bucket, u32 step) const {
    return INTERLEAVED ? bucket + step * p.b - lead_of(row) : bucket * p.run + (bucket < p.longer ? bucket : p.longer) + step;
  }

  // Whether a bucket has that step, which some bucket has. Of unaligned rows what is in front has indices that wrap.
  __device__ bool has(u32 bucket, u32 step) const {
    return UNALIGNED ? index_of(bucket, step) < p.n : step < p.run + (bucket < p.longer);
  }

  // Reads the elements of `count` buckets, N a thread at a time, bucket_at(i) being the i-th of them.
  // Calls f(entries, the i of each, which of them exist): all threads equally often. Neighbouring threads
  // read neighbouring elements where the buckets have such.
  template <class Team, int N, class At, class F> __device__ void each(u32 count, const At& bucket_at, const F& f) const {
    const u32 longest = p.run + (p.longer != 0);
    const u32 minors = INTERLEAVED ? count : longest, majors = INTERLEAVED ? longest : count;
    u32 minor = Team::rank() % minors, major = Team::rank() / minors;
#pragma unroll 1
    for (u64 done = 0; done < (u64)count * longest; done += N * Team::size) {
      Entry<Key> entries[N];
      u32 which[N];
      Bits elements[N];
      bool there[N];
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const u32 step = INTERLEAVED ? major : minor;
        which[j] = major < majors ? (INTERLEAVED ? minor : major) : 0;
        const u32 bucket = bucket_at(which[j]);
        there[j] = major < majors && has(bucket, step);
        entries[j].index = index_of(bucket, step);
        elements[j] = there[j] ? row[entries[j].index * (STRIDED ? p.in.step : 1)] : 0;
        minor += Team::size % minors, major += Team::size / minors;
        if (minor >= minors) minor -= minors, ++major;
      }
#pragma unroll
      for (int j = 0; j < N; ++j) entries[j].key = element_key(elements[j]);
      f(entries, which, there);
    }
  }
};
