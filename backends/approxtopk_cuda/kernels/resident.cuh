// Many rows that stay in shared memory while they are selected from: few winners, elements of 2 or 4 bytes.
//
// 1. walk    A row is copied to shared memory by the engine that does that, in a few parts. Of each bucket the best is
//            kept: an operation for two 16-bit elements, whatever KB is.
// 2. bound   A key that k threads' best reach and hardly more, by halving the range that these lie in.
// 3. look    What reaches the bound is in buckets whose best does. Each warp goes through those of its threads once
//            more. The best KB of a bucket are candidates; what else reaches the bound was dropped.
// 4. rank    The k best of the candidates by comparing all pairs. Or, where nothing need be in order and instructions are what
//            bounds (RANKED 0), one warp chooses them, and others are done.
//
// So it costs hardly anything to be told that a row is exact: the best that was dropped is worse than the k-th. REPAIR is
// not to drop anything. Where more reaches the bound than a warp has room for nothing is given.
//
// From the command line: RESIDENT (steps that a thread takes together, 0: rows don't stay), WINNERS, REPAIR, TEAM, KB, V,
// RANKED (0, 1), UNALIGNED.

#if RESIDENT
// What warps leave each other, where a selection counts and lists.
template <int WARPS> struct ResidentSpace {
  static const u32 room = 256 / WARPS;  // of a warp
#if RANKED
  static const u32 listed = 240;
  List<listed, Compact> list;           // candidates that reach the bound
#else
  static const u32 listed = room;
  Compact entries[WARPS][listed];       // the same, each warp's in a place of its own, so that there is no order to lose
  u32 counts[WARPS];                    // of these; may be more than there is room for
#endif
  Compact dropped;                      // the best dropped
  u16 flagged[WARPS][room];             // buckets whose best reaches the bound
};

template <class Team> struct Resident {
  static const int warps = Team::warps;
  typedef ResidentSpace<warps> Space;
  static_assert(sizeof(Space) <= sizeof(SelectSpace<Team::size>) - 16 * warps - 64, "what bound() returns lies behind it");

  const Params& p;
  const RowEnds& ends;
  SelectSpace<Team::size>& select_space;
  Bits* row;  // in shared memory
  u32 lead;  // elements in front of the row; see lead_of()

  __device__ Resident(const Params& params, const RowEnds& at, SelectSpace<Team::size>& space, void* memory)
      : p(params), ends(at), select_space(space), row((Bits*)memory), lead(lead_of(at.arr)) {
    // Lines of memory are lines of shared memory.
    if (UNALIGNED) row += (u64)(at.arr - lead) % 128 / sizeof(Bits);
  }

  __device__ Space& space() const { return *(Space*)select_space.count; }

  // Brings the row, and keeps the best of a thread's buckets.
  __device__ void walk(Arrivals& arrivals, Maxima& maxima) const {
    const u32 unit = 16 / (u32)sizeof(Bits);
    const Bits* const from = ends.arr - lead;
    const u32 length = p.n + lead, begin = lead ? V : 0, end = length / unit * unit;  // what is brought
    const u32 more = length - p.steps * p.b;  // than the steps that all buckets have
    if (Team::rank() == 0) space().dropped = 0;
#if RANKED
    space().list.template clear<Team>();
#endif
    const u32 each = (p.steps + (more > 0) + (more > p.b) + Arrivals::parts - 1) / Arrivals::parts;
    if (Team::rank() == 0) {
      arrivals.begin();
#pragma unroll
      for (int part = 0; part < Arrivals::parts; ++part) {
        const u32 first = part ? part * each * p.b : begin, next = (part + 1) * each * p.b, last = next < end ? next : end;
        arrivals.send(part, row + first, from + first, first < last ? (last - first) * (u32)sizeof(Bits) : 0);
      }
    }
    Team::sync();
    const u32 own = Team::rank() * V;
    const bool active = own < p.b;
    const u32 behind = end - p.steps * p.b;
    const u32 whole = active ? p.steps + (own + V <= behind) + (own + V + p.b <= behind) : 0;
    const bool cut = UNALIGNED && own < begin;
    const Bits* at = row + own;
    u32 step = 0;
    if (cut && whole) ++step, at += p.b;
    maxima.clear();
#pragma unroll 1
    for (int part = 0; part < Arrivals::parts; ++part) {
      const u32 next = (part + 1) * each, until = next < whole ? next : whole;
      arrivals.await(part);
#pragma unroll 1
      for (; step + RESIDENT <= until; step += RESIDENT, at += RESIDENT * p.b) maxima.template insert<RESIDENT>(at, p.b);
#pragma unroll 1
      for (; step < until; ++step, at += p.b) maxima.template insert<1>(at, p.b);
    }
    maxima.become_keys(active);
    // What the row has of the chunks at either end, of which it has a part.
    const u32 left = whole * p.b + own;
    if (active && left < length) insert_some(maxima, from, left, 0, length - left);
    if (cut) insert_some(maxima, from, 0, lead, V);
  }
  __device__ void insert_some(Maxima& maxima, const Bits* from, u32 first, u32 begin, u32 end) const {
#pragma unroll
    for (u32 u = 0; u < V; ++u) {
      if (u < begin || u >= end) continue;
      const Bits element = from[first + u];
      row[first + u] = element;
      maxima.insert_at(u, element);
    }
  }

  // Of fewer threads the best of either half of their buckets: fewer elements then reach the bound.
  static const bool halved = RANKED && warps == 4;
  __device__ Key bound(const Maxima& maxima) const {
    Key best[2];
    maxima.most(best);
    return bound_by_halving<Team, halved>(select_space, best, p.k);
  }

  // Of a lane's `hits` the KB best of the bucket, which it shares with its `lanes` neighbours; at(i) is that of bit i. Tells
  // the best of the others.
  template <class At> __device__ static u32 best_of(u32 hits, u32 lanes, const At& at, Compact& dropped) {
    if (KB == 1) {
      Compact best = 0;
      u32 which = 0;
#pragma unroll 1
      for (; hits; hits &= hits - 1) {
        const Compact entry = at(__ffs(hits) - 1);
        const bool is = entry > best;
        dropped = Wholes::greater(dropped, is ? best : entry);
        if (is) best = entry, which = hits & -hits;
      }
      Compact all = best;
#pragma unroll 1
      for (u32 d = 1; d < lanes; d *= 2) all = Wholes::greater(all, from_lane_xor(all, d));
      if (best == all) return which;
      dropped = Wholes::greater(dropped, best);
      return 0;
    }
    u32 kept = 0;
#pragma unroll 1
    for (int i = 0; i < KB + WINNERS; ++i) {
      Compact best = 0;
      u32 which = 0;
#pragma unroll 1
      for (u32 left = hits & ~kept; left; left &= left - 1) {
        const Compact entry = at(__ffs(left) - 1);
        if (entry > best) best = entry, which = left & -left;
      }
      if (i == KB) {
        dropped = best > dropped ? best : dropped;
        break;
      }
      Compact all = best;
#pragma unroll 1
      for (u32 d = 1; d < lanes; d *= 2) all = Wholes::greater(all, from_lane_xor(all, d));
      if (best == all) kept |= which;
    }
    return kept;
  }

  // Which of N elements, `pitch` apart, are better than `below`, a word of its copies: a bit for each.
  template <int N> __device__ static u32 better_than(Word below, const Bits* at, u32 pitch) {
    const int each = Element::per_word;
    u32 bits = 0;
#pragma unroll
    for (int i = 0; i < N; i += each) {
      Word x = at[i * pitch];
      if (each == 2) x |= (Word)at[(i + 1) * pitch] << 16;
      const Word differs = better_of(x, below) ^ below;
      or_if(each == 2 ? (differs & 0xFFFFu) != 0 : differs != 0, bits, 1u << i);
      if (each == 2) or_if(differs > 0xFFFFu, bits, 2u << i);
    }
    return bits;
  }

  // Lists what reaches `bar` in the buckets of a warp's threads, and perhaps what is the next worse there.
  __device__ void look(const Maxima& maxima, Key bar) const {
    const u32 lane = Team::lane();
    const Word below = below_of(bar);
    u16* const flagged = space().flagged[Team::warp()];
    u32 reach = 0;
#pragma unroll
    for (int u = 0; u < V; ++u) or_if(maxima.key(u) >= bar, reach, 1u << u);
    const u32 own = __popc(reach), before = warp_scan(own), count = __shfl_sync(~0u, before, 31);
    u32 listed = 0;
    if (count > Space::room) {
      reserve(Space::listed + 1, listed);
      return;
    }
    u16* to = flagged + before - own;
#pragma unroll 1
    for (; reach; reach &= reach - 1) *to++ = (u16)(Team::rank() * V + __ffs(reach) - 1);
    __syncwarp();
#if RANKED
    Compact* const entries = space().list.entries;
#else
    Compact* const entries = space().entries[Team::warp()];
    reserve(0, listed);
#endif
    [[maybe_unused]] Compact dropped = 0;
    // Lanes that share a bucket take every so many of its steps.
    const u32 shift = count > 16 ? 0 : count < 2 ? 5 : 5 - bit_length(count - 1), lanes = 1 << shift;
    const u32 part = lane & (lanes - 1), pitch = p.b << shift;
    const u32 whole = p.steps >> shift;  // steps that each of them has
#pragma unroll 1
    for (u32 done = 0; done < count; done += 32 >> shift) {
      const u32 slot = done + (lane >> shift);
      const u32 offset = (slot < count ? flagged[slot] : 0) + part * p.b;
      const auto at = [&](u32 i) { return compact(element_key(row[offset + i * pitch]), offset + i * pitch - lead); };
      const Bits* next = row + offset;
      u32 hits = 0, i = 0;
#pragma unroll 1
      for (; i + 4 <= whole; i += 4, next += 4 * pitch) hits |= better_than<4>(below, next, pitch) << i;
#pragma unroll 1
      for (; offset + i * pitch < p.n + lead; ++i, next += pitch) or_if(element_key(*next) >= bar, hits, 1u << i);
      if (UNALIGNED && offset < lead) hits &= ~1u;
      u32 kept = slot < count ? hits : 0;
#if !REPAIR
      u32 all = __popc(kept);
#pragma unroll 1
      for (u32 d = 1; d < lanes; d *= 2) all += __shfl_xor_sync(~0u, all, d);
      if (__any_sync(~0u, all > KB)) kept = best_of(kept, lanes, at, dropped);
#endif
      const u32 up_to = warp_scan(__popc(kept));
      const u32 total = __shfl_sync(~0u, up_to, 31), first = reserve(total, listed);
      if (first + total > Space::listed) break;
      Compact* to = entries + first + up_to - __popc(kept);
#pragma unroll 1
      for (; kept; kept &= kept - 1) *to++ = at(__ffs(kept) - 1);
    }
#if WINNERS && !REPAIR
    if (dropped) max_shared(&space().dropped, dropped);
#endif
  }

  // Places for so many candidates of a warp, which has had `listed` so far.
  __device__ u32 reserve(u32 count, u32& listed) const {
    u32 first = listed;
    listed += count;
#if RANKED
    if (Team::lane() == 0) first = add_shared(&space().list.length, count);
    return __shfl_sync(~0u, first, 0);
#else
    if (Team::lane() == 0) space().counts[Team::warp()] = listed;
    return first;
#endif
  }

#if RANKED
  // The k best of all that is listed to sink(place, key, index), best first, and whether nothing dropped is better.
  template <class Sink> __device__ void rank(u32 at_row, const Sink& sink) const {
    const auto& list = space().list;
    list.template rank_entries<Team>(list.length, p.k, [&](u32 place, Compact entry) {
#if WINNERS && !REPAIR
      if (place + 1 == p.k) p.exact[at_row] = space().dropped < entry;
#endif
      sink(place, key_of(entry), index_of(entry));
    });
  }
#else
  // What k of a warp's entries reach, SHARE of each lane; `low` is worse than all of them, `count` in number.
  template <int SHARE> __device__ Compact kth(const Compact (&mine)[SHARE], u32 count, Compact low) const {
    Compact high = mine[0];
#pragma unroll
    for (int j = 1; j < SHARE; ++j) high = Wholes::greater(high, mine[j]);
    high = warp_max(high);
    // No two entries are the same, so that k of them reach some value between.
#pragma unroll 1
    while (count != p.k) {
      const Compact middle = low + (high - low) / 2 + 1;
      u32 own = 0;
#pragma unroll
      for (int j = 0; j < SHARE; ++j) own += mine[j] >= middle;
      const u32 reaching = __reduce_add_sync(~0u, own);
      if (reaching < p.k)
        high = middle - 1;
      else
        low = middle, count = reaching;
    }
    return low;
  }

  // The k best of all that is listed to sink(place, key, index), and whether nothing dropped is better; by one warp.
  template <int SHARE, class Sink> __device__ void choose(u32 at_row, Key bar, u32 count, const Sink& sink) const {
    const u32 lane = Team::lane();
    Compact mine[SHARE];
#pragma unroll
    for (int j = 0; j < SHARE; ++j) {
      u32 i = j * 32 + lane, up_to = 0;
      const bool is = i < count;
#pragma unroll
      for (int warp = 0; warp + 1 < warps; ++warp) {
        up_to += space().counts[warp];
        if (j * 32 + lane >= up_to) i = (warp + 1) * Space::room + j * 32 + lane - up_to;
      }
      mine[j] = is ? space().entries[0][i] : 0;
    }
    const Compact tau = kth(mine, count, compact(bar, NOWHERE));
#if WINNERS && !REPAIR
    bool exact = space().dropped < tau;
    if (!exact) {  // but it may be worse than the worst result
      Compact worst = ~(Compact)0;
#pragma unroll
      for (int j = 0; j < SHARE; ++j) worst = mine[j] >= tau ? Wholes::less(worst, mine[j]) : worst;
      exact = space().dropped < warp_min(worst);
    }
    if (lane == 0) p.exact[at_row] = exact;
#endif
    u32 place = 0;
#pragma unroll
    for (int j = 0; j < SHARE; ++j) {
      const bool is = mine[j] >= tau;
      const u32 those = __ballot_sync(~0u, is), to = place + __popc(those & ((1u << lane) - 1));
      place += __popc(those);
      if (is) sink(to, key_of(mine[j]), index_of(mine[j]));
    }
  }
#endif

  // Gives the k best to sink(place, key, index), and tells whether they are the row's where that is asked. Returns false,
  // and has given nothing, where too many reach the bound. Ends without a barrier.
  template <class Sink> __device__ bool select(u32 at_row, const Sink& sink) const {
    __shared__ Arrivals arrivals;
    Maxima maxima;
    walk(arrivals, maxima);
    const Quick<Team, 1> quick = {select_space};
    const Key bar = bound(maxima);
    if (bar <= 2) return quick.refuse();  // look() needs a lesser one
    look(maxima, bar);
    Team::sync();
#if RANKED
    if (space().list.length > Space::listed) return quick.refuse();
    rank(at_row, sink);
#else
    u32 count = 0;
    bool fits = true;
#pragma unroll
    for (int warp = 0; warp < warps; ++warp) {
      count += space().counts[warp];
      fits &= space().counts[warp] <= Space::listed;
    }
    if (!fits) return quick.refuse();
    if (Team::warp() > 0) return true;
    if (count <= 128)
      choose<4>(at_row, bar, count, sink);
    else
      choose<8>(at_row, bar, count, sink);
#endif
    return true;
  }
};
#endif
