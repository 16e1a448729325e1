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

  // Puts those of a thread's entries that are to be taken behind what is there. Ends with a barrier.
  template <int N> __device__ void add(const Entry<Key> (&entries)[N], const bool (&take)[N]) {
    u32 own = 0, total;
#pragma unroll
    for (int j = 0; j < N; ++j) own += take[j];
    u32 place = count + scan<Team>(space, own, total);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (take[j]) keys[place] = entries[j].key << KEY_SHIFT, positions[place++] = entries[j].index;
    }
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
  const u32 groups = Losses::groups(p), most = SelectSpace<Team::size>::bins;
  const u32 longest = GROUP * (p.run + (p.longer != 0));  // elements of a group
  u32 next = space.next;
  Gathered<Team> gathered = {space, keys, positions, 0};
  Team::sync();
  for (u32 end; next < groups; next = end) {
    u32 count = 0, done = 0;
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

    // As many groups as there is room for if all of them is better than tau, and again, for hardly any is so.
    gathered.count = 0;
#pragma unroll 1
    for (u32 fit; done < count && (fit = (p.entries - p.k - gathered.count) / longest) > 0; done += fit) {
      fit = fit < count - done ? fit : count - done;
      const auto bucket_at = [&](u32 i) { return listed[done + i / GROUP] * GROUP + i % GROUP; };
      buckets.each<Team, AT_ONCE>(fit * GROUP, bucket_at,
                                  [&](const Entry<Key>(&entries)[AT_ONCE], const u32(&)[AT_ONCE], const bool(&there)[AT_ONCE]) {
        bool take[AT_ONCE];
#pragma unroll
        for (int j = 0; j < AT_ONCE; ++j) take[j] = there[j] && !better(bar, entries[j]);
        gathered.add(entries, take);
      });
    }
    if (done < count) end = listed[done];

#pragma unroll 1
    for (u32 base = 0; base < p.k; base += Team::size) {
      const u32 i = base + Team::rank();
      const Entry<Key> entry[1] = {results.get(i < p.k ? i : 0)};
      const u32 group = buckets.of(entry[0].index) / GROUP;
      const bool listed_too = group >= next && group < end && losses.keys[group] >= tau.key;
      const bool take[1] = {i < p.k && !listed_too};
      gathered.add(entry, take);
    }
    if (gathered.count > p.k) {
      if (Team::rank() == 0) space.next = end, space.gathered = gathered.count;
      return gathered.count;
    }
  }
  return 0;
}
#endif
