// Stage 1 and stage 2 in one launch: a team (a warp, a block, or a cluster of blocks) owns a row.
//
// Shapes   arr: rows of n elements of any strides; values and indices: k of each row, in the order of
//          candidates' places (SPREAD: of threads; see spread.cuh), or best first (SORTED).
// Ties     to the lower index. 1 <= k <= candidates; n < 2^32 - 1.
// When     rows fill the GPU, and candidates fit in shared memory. The grid has a team for each row.
//   TEAM 32          short rows: a warp each, no block barrier.
//   TEAM THREADS     a block each; `passes` tiles of buckets one after the other.
//   CLUSTER > 1      few rows: blocks walk different buckets and leave their candidates in the
//                    shared memory of the first, which selects.
//   SPREAD           few rows: each block of a cluster selects from its own candidates; see spread.cuh.
//   HELD             few winners: candidates stay in registers, but for those that reach a bound.
//   LOADED           few rows, few winners: a row is in its threads' registers, of a block or of a cluster; see loaded.cuh.
//   RESIDENT         many rows, few winners: a row stays in shared memory; see resident.cuh.
//   REREAD           the same: the best lines of a row are read again; see reread.cuh. What follows one of these three here is
//                    for rows that it gives nothing for, mostly because too much reaches its bound.
//   WINNERS          certificate or repair is asked for, which a row's team does at once; see losses.cuh.
// Moves    each element once, and the output: candidates never leave the chip.

#if HELD
// The k best of what the blocks of a cluster hold in registers to the first block's output, best first.
// False, and nothing done, where quick selection can't.
template <class Team, class Output>
__device__ inline bool finish_held(const Params& p, SelectSpace<Team::size>& space, const HeldCandidates& candidates,
                                   const Output& output) {
  Key best = 0;
#pragma unroll
  for (int u = 0; u < V; ++u) best = candidates.queues[u].key(0) > best ? candidates.queues[u].key(0) : best;
  const Quick<Team, CLUSTER> quick = {space};
  return quick.select(p.k, best, candidates, output);
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) IN_CLUSTERS fused(const Params p) {
  typedef TeamOf<TEAM> Team;
  if (p.lets_next) let_next_launch_begin();
  const u32 teams = THREADS / TEAM;
  extern __shared__ __align__(RESIDENT ? 128 : 16) u8 shared[];  // or what all declare would be so many bytes more
  __shared__ SelectSpace<TEAM> spaces[teams];

#if LOADED || REREAD || RESIDENT
  if (__builtin_expect(given_directly<Team>(p, spaces, shared), 1)) return;
#endif

  const u32 team = threadIdx.x / TEAM;
  const u32 list_places = MERGE ? KB * p.tile * p.parts : 0;
  const u32 sort_places = places_to_sort<TEAM>(p.k);
  const u32 more_places = list_places > sort_places ? list_places : sort_places;  // never both
  const u32 entries = WINNERS && REPAIR ? p.entries : KB * p.b;
  const u32 words = Indices::count(entries, p.b);
  const u32 key_places = (entries + more_places + 3) / 4 * 4, word_places = (words + more_places + 3) / 4 * 4;  // aligned
  Key* const keys = (Key*)shared + team * key_places;
  Indices indices = {(u32*)((Key*)shared + teams * key_places) + team * word_places, keys, p.b};
  Key* const more_keys = keys + entries;
  u32* const more_positions = indices.words + words;
  Queues queues;
  Place place;
#if WINNERS
  __shared__ HiddenSpace hidden_spaces[teams];
  HiddenSpace& hidden_space = hidden_spaces[team];
  Losses losses;
  losses.keys = (Key*)(shared + teams * (key_places * sizeof(Key) + word_places * 4) + team * Losses::bytes_of(p));
#if LATE
  losses.early = losses.keys + Losses::aligned(Losses::places(p));
  losses.begin(Team::rank());
#endif
  losses.apart = BY_THREAD ? p.tile / V : Losses::groups(p);
  losses.own = p.passes * p.tile / GROUP;
  losses.candidates = keys + (KB - 1) * p.b;
  losses.indices = &indices;
#endif

  CandidateSink sink;
  sink.keys = keys;
  sink.words = indices.words;
  sink.b = p.b;
#if WINNERS && MERGE && !SPREAD
  Key most_lost = 0;
  sink.losses = losses;
  sink.most_lost = &most_lost;
#endif
#if CLUSTER > 1
  sink.remote_keys = remote(keys, 0);
  sink.remote_words = remote(indices.words, 0);
#endif
  const u32 block = cluster_rank();
  const u32 row = blockIdx.x / CLUSTER * teams + team;
  if (row >= p.rows) return;  // a warp's, of the last block

#if SPREAD
#if WINNERS
  SpreadSpace& spread_space = *(SpreadSpace*)((u8*)losses.keys + Losses::bytes_of(p));
#else
  SpreadSpace& spread_space = *(SpreadSpace*)(indices.words + word_places);
#endif
  const Spread<Team> spread = {p, spaces[team], spread_space, block};
  spread.begin();
#endif
#if !LOADED  // or it has told so already
  cluster_arrive_only();  // this block runs
#endif
  RowEnds ends;
#if HELD || SPREAD
  ends = ends_of(p, row);
  // Now, and not when time is short: what this needs takes long to come from constant memory.
  asm volatile("" : "+l"(ends.arr));
  asm volatile("" : "+l"(ends.values), "+l"(ends.indices));
#endif
#if SPREAD
  indices.first = 0 - lead_of(ends.arr);
#endif
#if HELD
  spaces[team].list.template clear<Team>();
#endif
  const OutputSink written = {p, ends};
#if WINNERS
#if HELD && REPAIR
  __shared__ LossList told;
  LossList::Known known = {0, 0};
#elif HELD
  __shared__ LossMarks told;
#endif
#if HELD
  told.clear();
#endif
#if REPAIR
  if (Team::rank() == 0) hidden_space.gathered = 0;
#if HELD
  const QuickWinnerSink quick_output = {written, hidden_space};
#endif
  const WinnerSink<Team> output = {written, losses, hidden_space};
#else
  Verdict verdict = {0, {0, NOWHERE}};
#if HELD
  const QuickWinnerSink quick_output = {written, row, verdict};
#endif
#if ALL
  const OutputSink& output = written;  // in any order, so that none of them tells the verdict
#else
  const WinnerSink<Team> output = {written, losses, hidden_space, row, verdict};
#endif
#endif
#else
#if HELD
  const OutputSink& quick_output = written;
#endif
  const OutputSink& output = written;
#endif
#if !(LOADED || REREAD || RESIDENT)
  await_launch_before();
#endif
#if TELLS_MOST && !(BY_THREAD || MERGE)
  Key most_lost = 0;
#endif
  [[maybe_unused]] bool selected = false, tie = false;
  u32 hidden = 0;                 // elements, where they have been counted
  const u32 passes = HELD || SPREAD || (MERGE && INTERLEAVED) ? 1 : p.passes;  // they are launched for no more
  for (u32 pass = 0; pass < passes; ++pass) {
    sink.bucket0 = (block * passes + pass) * p.tile;
    u32 rank = Team::rank();
    asm volatile("" : "+r"(rank));  // a share takes less to compute again than to keep in registers
    const Share share = share_of(p, rank);
    const u32 bucket = sink.bucket0 + share.bucket;
    const bool active = rank * V < p.tile * p.parts;
    place = place_of(p, share, row, bucket, 0);
    if (!active) place.length = 0;
#if LATE
    walk(queues, place, [&] { losses.set_early(rank, queues); });
#else
    walk(queues, place);
#endif
    if (pass == 0) cluster_wait();
#if HELD  // in one pass
#if WINNERS && REPAIR
    const HeldCandidates held = {queues, place, bucket / GROUP, told, known};
#elif WINNERS
    const HeldCandidates held = {queues, place, bucket / GROUP, losses, p.tile / V, told, verdict};
#else
    const HeldCandidates held = {queues, place};
#endif
    // What is left to do then stands here, not behind all that other rows need: code is fetched in order.
    selected = finish_held<Team>(p, spaces[team], held, quick_output);
#if WINNERS && REPAIR
    const bool done = selected && known.complete();  // else all losses are stored, and looked at
#else
    const bool done = selected;
#endif
    if (__builtin_expect(done, 1)) {
#if WINNERS && REPAIR
      if (block == 0) hidden = count_hidden<Team>(p, ends, hidden_space, spaces[team], losses, told, known);
      if (hidden > few_hidden(p.k)) break;
      if (__builtin_expect(hidden > 0, 0)) place_hidden<Team>(p, ends, hidden_space, hidden);
#elif WINNERS
      tie = __any_sync(~0u, verdict.open.index != NOWHERE);
      if (__builtin_expect(tie, 0)) break;  // to where what hardly ever runs is not in the way
#endif
      cluster_arrive_only();
      cluster_wait();
      return;
    }
#endif
#if WINNERS && !MERGE && !SPREAD
#if BY_THREAD
    if (LATE || active) losses.add(Team::rank(), queues.lost_key(), pass);
#else
    if (active && bucket < p.b) {
      losses.set(bucket / GROUP, queues.lost_key());
#if TELLS_MOST
      most_lost = Wholes::greater(most_lost, queues.lost_key());
#endif
    }
#endif
#endif
#if MERGE
    Lists<Key> lists = {more_keys, more_positions, p.parts * p.tile};
#if WINNERS
    lists.lost = losses.of_lists(p);
#endif
    Team::sync();  // the lists of the pass before have been read
    if (active) {
#pragma unroll
      for (int i = 0; i < KB; ++i) {
#pragma unroll
        for (int u = 0; u < V; ++u) {
          const Entry<Key> entry = {queues[u].key(i), index_at(queues[u], place, u, i)};
          lists.set(share.list + u * share.list_step, i, entry);
        }
      }
    }
#if WINNERS
    if (active) {
#pragma unroll
      for (int u = 0; u < V; ++u) lists.lost[share.list + u * share.list_step] = queues.lost_key();
    }
#endif
#if SPREAD
    Candidates candidates;
    candidates.clear();
    merge_parts<Team, Key, KB>(lists, 1, p.parts, p.tile, [&](u32, u32 of, const Entry<Key>(&best)[KB], Key lost) {
#pragma unroll
      for (int i = 0; i < KB; ++i) candidates.best[i] = best[i];
      candidates.lost = lost, candidates.any = sink.bucket0 + of < p.b;
    });
    const u32 first = sink.bucket0 + rank;  // of the thread's buckets
#else
    merge_parts<Team, Key, KB>(lists, 1, p.parts, p.tile, sink);
#endif
#else
    const Candidates candidates = {queues, place, active && bucket < p.b};
    const u32 first = bucket;
#endif
#if SPREAD  // in one pass
#if WINNERS
    Key& lost = verdict.most;
    lost = candidates.lost_key();
    if (candidates.any) sink.put_last(first, candidates), losses.set(first / GROUP, lost);
#else
    Key lost;
#endif
    selected = spread.select(p.k, candidates, lost, written, output);
    if (__builtin_expect(selected, 1)) {
#if WINNERS
      if (block == 0) certify_tied(p, row, ends, losses, verdict.open);
      cluster_arrive_only();  // nobody needs this block's memory any more
      cluster_wait();
#endif
      return;
    }
#endif
#if SPREAD || !MERGE
    if (candidates.any) sink.put(first, candidates);
#endif
  }
#if TELLS_MOST
#if BY_THREAD
  const Key most_lost = losses.of_thread(Team::rank());
#endif
  const Key most = warp_max(most_lost);
  if (Team::lane() == 0) store_in_first(hidden_space.lost + block * Team::warps + Team::warp(), most);
#endif
#if !(HELD || SPREAD)
  ends = ends_of(p, row);
#endif
#if !SPREAD
  indices.first = 0 - lead_of(ends.arr);
#endif
  if (!hidden && !tie) {
    cluster_arrive();
    cluster_wait();
    Team::sync();
  }
  if (block == 0) {
    const ListSink list = {more_keys, more_positions};
#if WINNERS && REPAIR
    u32 ranked = p.k;  // of the results, the last ones, that are the worst
    u32 gathered = 0;
    do {  // once, but for a row that hides much
      if (!selected || gathered) {
        const Selector<Team, Indices> selector(spaces[team], keys, indices, gathered ? gathered : KB * p.b, gathered ? gathered : p.b, p.n, more_keys);
        ranked = finish<Team>(p, selector, row, list, output);
      }
      if (hidden_space.gathered == 0) {
        const u32 found = hidden ? hidden : count_hidden<Team>(p, ends, hidden_space, spaces[team], losses, ranked);
        if (found <= few_hidden(ranked)) {
          if (found) place_hidden<Team>(p, ends, hidden_space, found);
          break;
        }
      }
      gathered = gather<Team>(p, ends, hidden_space, spaces[team], losses, keys, indices.words);
    } while (gathered);
#else
    if (!selected) {
      const Selector<Team, Indices> selector(spaces[team], keys, indices, KB * p.b, p.b, p.n, more_keys);
      finish<Team>(p, selector, row, list, output);
    }
#if WINNERS
#if HELD
    if (tie) certify_tied<Team>(p, row, ends, hidden_space, spaces[team], losses, told, verdict.open);
#endif
#if ALL
    look<Team>(p, losses, hidden_space, verdict);
    Team::sync();
    const Entry<Key> tau = worst_of<Team>(hidden_space, keys, indices, KB * p.b);
    if (Team::rank() == 0) verdict.give(p, row, tau);
#endif
#if LATE
    certify_open<Team>(p, row, ends, hidden_space, spaces[team], losses, verdict);
#else
    if (!tie) certify_tied(p, row, ends, losses, verdict.open);
#endif
#endif
#endif
  }
  cluster_arrive_only();  // nobody needs this block's memory any more
  cluster_wait();
}
