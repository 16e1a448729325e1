// From candidates to output: select, sort if asked, write. Shared by the fused kernel and stage 2.

struct OutputSink {
  const Params& p;
  const RowEnds& ends;
  __device__ void begin(Key) const {}
  __device__ void begin_ranks() const {}
  __device__ const OutputSink& above() const { return *this; }
  __device__ void operator()(u32 place, Key key, u32 index) const { put(p, ends, place, key, index); }
};

struct ListSink {
  Key* keys;
  u32* positions;
  __device__ void begin(Key) const {}
  __device__ const ListSink& above() const { return *this; }
  __device__ void operator()(u32 place, Key key, u32 index) const {
    keys[place] = key;
    positions[place] = index;
  }
};

__device__ inline u32 ceil_power_of_two(u32 x) { return x <= 1 ? 1 : 1u << bit_length(x - 1); }

// Places behind the candidates for putting k results in order: for counts of bins, or for all of them.
template <int SIZE> __device__ inline u32 places_to_sort(u32 k) {
  if (BINNED) return BINNED == 2 ? SelectSpace<SIZE>::bins * 4 / sizeof(Key) : 0;
  return SORTED ? ceil_power_of_two(k) : 0;
}

// From the command line: ALL (0, 1), whether there are no more candidates than k, and no repair; GROUPS (1, 2,
// 4, 8; 0 for none) of a thread's candidates bound the k best; QUICK, SORTED, LISTED (0, 1).

// The k best to a sink; returns as Selector::select.
template <class Selector, class Sink>
__device__ inline u32 choose(const Params& p, const Selector& selector, const Sink& sink) {
#if ALL
  selector.select_all(p.k, sink);
  return 0;
#else
  return selector.template select<GROUPS>(p.k, sink);
#endif
}

// Candidates in memory, empty ones among them, to the k best of `row`. SORTED: `list` has
// places_to_sort() places. LISTED: winners go to p.spare_keys, p.spare_positions
// [rows][k], to be sorted there. QUICK: quickly, where that can be and has not been tried (HELD).
// Winners go to output(place, key, index). Returns how many of them, the last ones, are the worst, and
// best first.
template <class Team, class Selector, class Output>
__device__ inline u32 finish(const Params& p, const Selector& selector, u32 row, const ListSink& list, const Output& output) {
#if QUICK && !HELD
  Key best = 0;
  selector.each([&](u32, Key x) { best = x > best ? x : best; });
  const StoredCandidates<Selector> candidates = {selector};
  const Quick<Team, 1> quick = {selector.space};
  selector.space.list.template clear<Team>();
  if (quick.select(p.k, best, candidates, output)) return p.k;
#endif
#if SORTED && !BINNED
  const u32 length = ceil_power_of_two(p.k);
  for (u32 i = p.k + Team::rank(); i < length; i += Team::size) list(i, 0, NOWHERE);
  choose(p, selector, list);
  sort_entries<Team>(list.keys, list.positions, length);
  output.begin(~(Key)0);
  for (u32 i = Team::rank(); i < p.k; i += Team::size) output(i, list.keys[i], list.positions[i]);
  return p.k;
#elif LISTED
  const ListSink winners = {p.spare_keys + (u64)row * p.k, p.spare_positions + (u64)row * p.k};
  return choose(p, selector, winners);
#else
  return choose(p, selector, output);
#endif
}
