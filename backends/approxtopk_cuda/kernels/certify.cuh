// Certificate and repair: whether a row's k results are its true top k, and making them so.
//
// Let tau be the worst of the results: elements are in one total order, the greater key first, on a
// tie the lower index. Stage 1 kept the best KB of every bucket. If fewer than KB results better than
// tau lie in a bucket, one of those that it kept is not better than tau, so nothing that it dropped
// is. The other buckets, if they are longer than KB, are *flagged*: they alone can hide an element
// better than tau.
//
// 1. flag      Results are counted by bucket, buckets with KB of them listed; tau's is none of them.
// 2. certify   Flagged buckets are read again. Of each, KB results are better than tau; any other
//              element that is was hidden. None: the results are the true top k.
// 3. repair    Else the true top k are among the results in other buckets and the elements of
//              flagged ones that are better than tau. These are gathered, and the best k selected.
//              Where they outgrow the room, k are selected, tau rises, and gathering goes on.
//
// At most (k - 1) / KB buckets are flagged, so no more than k / (KB b) of a row is read again, however
// its elements lie: less than stage 1 read.
//
// Nothing in the result depends on the order of threads.
//
// From the command line: KB, INTERLEAVED, STRIDED, KEY_SHIFT; REPAIR and SORTED (of repaired rows).

// A team's memory while it looks after a row.
struct Area {
  Key* keys;  // what repair gathers: `entries` places, shared or (SHARED 0) global memory
  u32* positions;
  u32 entries;
  u32* marks;  // counts of a range of p.range buckets, a byte each; then a list of flagged ones
};

struct CertifySpace {  // per warp
  Key keys[32];
  u32 positions[32], sums[32];
};

__device__ inline Key candidate_key(Bits element) {
  return key_at<Element>(order<Element, LARGEST>((Word)element), 0) << KEY_SHIFT;
}

template <class Team> struct Certifier {
  const Params& p;
  const Area& area;
  CertifySpace& space;
  const RowEnds ends;
  u32* const counts;
  u32* const flagged;
  const u32 run, longer;  // buckets have `run` elements, the first `longer` of them one more
  const u32 flaggable;    // buckets, the first ones, that are longer than KB
  u32 first, flags;       // buckets before the range, flagged in it
  Entry<Key> tau;
  u32 tau_bucket;

  __device__ Certifier(const Params& params, u32 row, const Area& a, CertifySpace& s)
      : p(params), area(a), space(s), ends(ends_of(params, row)), counts(a.marks),
        flagged(a.marks + (params.range + 3) / 4), run(params.n / params.b), longer(params.n % params.b),
        flaggable(run > KB ? params.b : run == KB ? longer : 0) {}

  __device__ u32 bucket_of(u32 index) const {
#if INTERLEAVED
    return index % p.b;
#else
    const u32 split = longer * (run + 1);
    return index < split ? index / (run + 1) : longer + (index - split) / run;
#endif
  }

  __device__ u32 index_of(u32 bucket, u32 step) const {
    return INTERLEAVED ? bucket + step * p.b : bucket * run + (bucket < longer ? bucket : longer) + step;
  }

  __device__ Entry<Key> result(u32 i) const {
    const Entry<Key> entry = {candidate_key(ends.values[i * p.out.step]), (u32)ends.indices[i * p.index_out.step]};
    return entry;
  }

  // The worst of all threads' entries; space.keys and positions are free after the next barrier.
  __device__ Entry<Key> worst(Entry<Key> entry) const {
    Entry<Key> found;
    found.key = warp_min(entry.key);
    found.index = warp_max(entry.key == found.key ? entry.index : 0);
    if (Team::is_warp) return found;
    if (Team::lane() == 0) space.keys[Team::warp()] = found.key, space.positions[Team::warp()] = found.index;
    Team::sync();
    entry.key = space.keys[Team::lane() % Team::warps], entry.index = space.positions[Team::lane() % Team::warps];
    found.key = warp_min(entry.key);
    found.index = warp_max(entry.key == found.key ? entry.index : 0);
    return found;
  }

  // Sum over the threads before this one, and over all; space.sums is free after the next barrier.
  __device__ u32 scan(u32 own, u32& total) const {
    const u32 up_to = warp_scan(own);
    u32 before = 0;
    if (Team::is_warp) {
      total = __shfl_sync(~0u, up_to, 31);
    } else {
      if (Team::lane() == 31) space.sums[Team::warp()] = up_to;
      Team::sync();
      const u32 sum = Team::lane() < Team::warps ? space.sums[Team::lane()] : 0;
      before = __reduce_add_sync(~0u, Team::lane() < Team::warp() ? sum : 0);
      total = __reduce_add_sync(~0u, sum);
    }
    return before + up_to - own;
  }

  // ---- 1. flag ----

  // Counts the results in p.range buckets after `before`, finds tau, lists flagged buckets.
  __device__ void flag(u32 before) {
    first = before;
    const u32 words = (p.range + 3) / 4;
    for (u32 w = Team::rank(); w < words; w += Team::size) counts[w] = 0;
    Team::sync();
    Entry<Key> mine = {~(Key)0, 0};
#pragma unroll 1
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = result(i);
      if (better(mine, entry)) mine = entry;
      const u32 bucket = bucket_of(entry.index), at = bucket - first;
      if (bucket < flaggable && at < p.range) atomicAdd(&counts[at / 4], 1u << at % 4 * 8);
    }
    tau = worst(mine);
    tau_bucket = bucket_of(tau.index);
    Team::sync();
    list(words);
    Team::sync();
  }

  // Whether results fill a bucket: KB of them, all better than tau.
  __device__ bool is_flagged(u32 bucket) const {
    const u32 at = bucket - first;
    return bucket != tau_bucket && (counts[at / 4] >> at % 4 * 8 & 0xFF) == KB;
  }

  // The same for the four buckets of a word of counts: a bit in the byte of each.
  __device__ u32 flags_of(u32 word) const {
    const u32 own = tau_bucket - first;
    return __vcmpeq4(counts[word], KB * 0x01010101u) & 0x01010101u & ~(own / 4 == word ? 1u << own % 4 * 8 : 0);
  }

  // Flagged buckets in rising order: each warp looks through words that are neighbours.
  __device__ void list(u32 words) {
    const u32 share = (words + Team::warps - 1) / Team::warps, begin = Team::warp() * share;
    const u32 end = begin + share < words ? begin + share : words;
    u32 own = 0;
#pragma unroll 1
    for (u32 w = begin + Team::lane(); w < end; w += 32) own += __popc(flags_of(w));
    u32 place = __shfl_sync(~0u, scan(own, flags), 0);
    if (flags == 0) return;
#pragma unroll 1
    for (u32 base = begin; base < end; base += 32) {
      const u32 w = base + Team::lane();
      const u32 mask = w < end ? flags_of(w) : 0;
      if (!__any_sync(~0u, mask)) continue;
      const u32 up_to = warp_scan(__popc(mask));
      u32 at = place + up_to - __popc(mask);
#pragma unroll
      for (u32 j = 0; j < 4; ++j) {
        if (mask >> j * 8 & 1) flagged[at++] = first + w * 4 + j;
      }
      place += __shfl_sync(~0u, up_to, 31);
    }
  }

  // ---- 2. certify ----

  // Reads flagged buckets, N elements a thread at a time, and calls f(entries, which of them exist): all
  // threads equally often. Neighbouring threads read neighbouring elements where there are such.
  template <int N, class F> __device__ void each_flagged(const F& f) const {
    const u32 longest = run + (longer != 0);
    const u32 minors = INTERLEAVED ? flags : longest, majors = INTERLEAVED ? longest : flags;
    u32 minor = Team::rank() % minors, major = Team::rank() / minors;
#pragma unroll 1
    for (u64 done = 0; done < (u64)flags * longest; done += N * Team::size) {
      Entry<Key> entries[N];
      Bits elements[N];
      bool there[N];
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const u32 bucket = major < majors ? flagged[INTERLEAVED ? minor : major] : 0;
        const u32 step = INTERLEAVED ? major : minor;
        there[j] = major < majors && step < run + (bucket < longer);
        entries[j].index = index_of(bucket, step);
        if (there[j]) elements[j] = ends.arr[entries[j].index * (STRIDED ? p.in.step : 1)];
        minor += Team::size % minors, major += Team::size / minors;
        if (minor >= minors) minor -= minors, ++major;
      }
#pragma unroll
      for (int j = 0; j < N; ++j) entries[j].key = candidate_key(there[j] ? elements[j] : 0);
      f(entries, there);
    }
  }

  // Whether the results are the true top k.
  __device__ bool certify() {
    u32 better_ones = 0, known = 0;
    for (u64 before = 0; before < flaggable; before += p.range) {
      if (before) Team::sync();
      flag(before);
      if (flags == 0) continue;
      known += flags * KB;
      each_flagged<4>([&](const Entry<Key>(&entries)[4], const bool(&there)[4]) {
#pragma unroll
        for (int j = 0; j < 4; ++j) better_ones += there[j] && better(entries[j], tau);
      });
    }
    if (known == 0) return true;
    u32 total;
    scan(better_ones, total);
    return total == known;
  }

};

#if REPAIR
// ---- 3. repair ----

template <class Team> struct Repairer {
  Certifier<Team>& row;
  SelectSpace<Team::size>& space;
  const Params& p;
  const Area& area;
  const u32 room;   // places for what is gathered; behind them, for what is selected from it
  u32 held;
  Entry<Key> tau;  // the k-th best so far, or worse

  __device__ Repairer(Certifier<Team>& certifier, SelectSpace<Team::size>& s)
      : row(certifier), space(s), p(certifier.p), area(certifier.area),
        room(area.entries - (SORTED ? ceil_power_of_two(p.k) : p.k)), held(0), tau(certifier.tau) {}

  // Makes the results the true top k, where they aren't.
  __device__ void repair() {
    for (u64 before = 0; before < p.b; before += p.range) {
      if (p.range < p.b) row.flag(before);  // else it has been
#pragma unroll 1
      for (u32 base = 0; base < p.k; base += Team::size) {
        const u32 i = base + Team::rank();
        Entry<Key> entry[1] = {row.result(i < p.k ? i : 0)};
        const u32 bucket = row.bucket_of(entry[0].index);
        const bool take[1] = {i < p.k && bucket - row.first < p.range && !row.is_flagged(bucket)};
        gather(entry, take);
      }
      if (row.flags == 0) continue;
      row.template each_flagged<2>([&](const Entry<Key>(&entries)[2], const bool(&there)[2]) {
        const bool take[2] = {there[0] && better(entries[0], tau), there[1] && better(entries[1], tau)};
        gather(entries, take);
      });
    }
    write();
  }

  template <int N> __device__ void gather(const Entry<Key> (&entries)[N], const bool (&take)[N]) {
    u32 own = 0, total;
#pragma unroll
    for (int j = 0; j < N; ++j) own += take[j];
    u32 place = row.scan(own, total);
    if (held + total > room) shrink();
    place += held;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (take[j]) area.keys[place] = entries[j].key, area.positions[place++] = entries[j].index;
    }
    held += total;
    Team::sync();
  }

  template <class Sink> __device__ void choose_from_held(const Sink& sink) const {
    Selector<Team> selector(space, area.keys, area.positions, held);
    if (held > p.k)
      selector.select(p.k, sink);
    else
      selector.emit(sink);
    Team::sync();
  }

  __device__ ListSink selected() const {
    const ListSink list = {area.keys + room, area.positions + room};
    return list;
  }

  // Keeps the best k of what is gathered; more of it than k.
  __device__ void shrink() {
    const ListSink list = selected();
    choose_from_held(list);
    Entry<Key> mine = {~(Key)0, 0};
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = {list.keys[i], list.positions[i]};
      area.keys[i] = entry.key, area.positions[i] = entry.index;
      if (better(mine, entry)) mine = entry;
    }
    tau = row.worst(mine);
    held = p.k;
    Team::sync();
  }

  __device__ void write() const {
    const OutputSink output = {p, row.ends};
#if SORTED
    const ListSink list = selected();
    const u32 length = ceil_power_of_two(p.k);
    for (u32 i = p.k + Team::rank(); i < length; i += Team::size) list(i, 0, NOWHERE);
    choose_from_held(list);
    sort_entries<Team>(list.keys, list.positions, length);
    for (u32 i = Team::rank(); i < p.k; i += Team::size) output(i, list.keys[i], list.positions[i]);
#else
    choose_from_held(output);
#endif
  }
};
#endif

// A row whose k results are written: p.exact says whether they are the true top k; with REPAIR they are
// made so instead. Begins with the results visible to the team, ends without a barrier.
template <class Team>
__device__ inline void certify_row(const Params& p, u32 row, const Area& area, CertifySpace& space,
                                   SelectSpace<Team::size>& select_space) {
  Certifier<Team> certifier(p, row, area, space);
  const bool exact = certifier.certify();
#if REPAIR
  if (exact) return;
  Team::sync();
  Repairer<Team>(certifier, select_space).repair();
#else
  if (Team::rank() == 0) p.exact[row] = exact;
#endif
}
