// Repair at the end of the fused kernel, of a row that hides more than a few elements.
//
// The true top k are among the results outside of some groups of buckets and the elements of these groups
// that are no worse than tau, the worst of the results. These are gathered where the candidates were, for
// selection to go on from there: tau rises, and it is the next groups' turn, those that lost a key as good
// as tau (where values tie with it, many that hide nothing), as many as there is room for. A row that hides
// much takes longer that way, not more memory.
//
// What is gathered is in an order of its own, that of threads leaves no trace.
//
// From the command line: WINNERS, REPAIR, KEY_SHIFT, STRIDED.

#if WINNERS && REPAIR
template <class Team> struct Gathered {
  HiddenSpace& space;
  Key* const keys;
  u32* const positions;
  u32 count;

  // Puts an entry of those threads that say so behind what is there. Ends with a barrier.
  __device__ void add(const Entry<Key>& entry, bool does) {
    u32 total, place = count + scan<Team>(space, does, total);
    if (does) keys[place] = entry.key << KEY_SHIFT, positions[place] = entry.index;
    count += total;
    Team::sync();
  }
};

// Gathers what there is from group space.next on, to keys and positions, p.entries of them. Returns how many;
// none where no more groups are to be looked at: the results, which are out, are the true top k. Begins
// without a barrier, ends with one.
template <class Team>
__device__ inline u32 gather(const Params& p, const RowEnds& ends, HiddenSpace& space, SelectSpace<Team::size>& select_space,
                             const Losses& losses, Key* keys, u32* positions) {
  Team::sync();
  const Entry<Key> tau = {space.worst_keys[0], space.worst_positions[0]}, bar = {tau.key >> KEY_SHIFT, tau.index};
  const Buckets buckets = {p, ends.arr};
  const WrittenResults results = {p, ends};
  u32* const listed = select_space.count;
  const u32 groups = Losses::groups(p), longest = p.run + (p.longer != 0);
  const u32 room = (p.entries - p.k) / (GROUP * longest), bins = SelectSpace<Team::size>::bins;
  const u32 most = room < bins ? room : bins;
  u32 next = space.next;
  Gathered<Team> gathered = {space, keys, positions, 0};
  Team::sync();
  for (u32 end; next < groups; next = end) {
    u32 count = 0;
    end = groups;
#pragma unroll 1
    for (u32 base = next; base < groups && count < most; base += Team::size) {
      const u32 group = base + Team::rank();
      const bool flagged = group < groups && losses.keys[group] >= tau.key;
      u32 total;
      const u32 place = count + scan<Team>(space, flagged, total);
      if (flagged && place < most) listed[place] = group;
      count = count + total < most ? count + total : most;
      Team::sync();
    }
    if (count == 0) return 0;
    if (count == most) end = listed[most - 1] + 1;

    gathered.count = 0;
#pragma unroll 1
    for (u32 base = 0; base < p.k; base += Team::size) {
      const u32 i = base + Team::rank();
      const Entry<Key> entry = results.get(i < p.k ? i : 0);
      const u32 group = buckets.of(entry.index) / GROUP;
      const bool listed_too = group >= next && group < end && losses.keys[group] >= tau.key;
      gathered.add(entry, i < p.k && !listed_too);
    }
    const u32 total = count * longest;
#pragma unroll 1
    for (u32 base = 0; base < total * GROUP; base += Team::size) {
      const u32 x = (base + Team::rank()) / GROUP, u = (base + Team::rank()) % GROUP;
      const u32 i = INTERLEAVED ? x % count : x / longest, step = INTERLEAVED ? x / count : x % longest;
      const u32 bucket = listed[x < total ? i : 0] * GROUP + u;
      const bool there = x < total && buckets.has(bucket, step);
      const u32 index = there ? buckets.index_of(bucket, step) : 0;
      const Entry<Key> entry = {element_key(ends.arr[index * (STRIDED ? p.in.step : 1)]), index};
      gathered.add(entry, there && !better(bar, entry));
    }
    if (gathered.count > p.k) {
      if (Team::rank() == 0) space.next = end, space.gathered = gathered.count;
      return gathered.count;
    }
  }
  return 0;
}
#endif
