// Stage 2 for a team: the k best of m candidates, ties to the lower index.
//
// 1. range   The least of the greatest keys of k groups or more is a lower bound of the k-th candidate,
//            and their greatest is one of all. A bucket's queue is such a group.
// 2. select  A radix select whose digits fit the data: the range is cut into equal bins, these are
//            counted, and the bin with the k-th key is the next range. Maxima of buckets lie close
//            together, so bins of their range separate them where the top bits of a key would not; one
//            pass is the rule, ceil(bits / log2(bins)) the worst case. When all that are left have
//            one key, indices are selected among in the same way.
// 3. emit    Each thread counts what it has above the bin; a sum over the threads before gives places,
//            and neighbouring threads write neighbouring places. The few in the bin are ranked by
//            comparing all pairs, and follow in that order.
//            BINNED: what is above the bin is put in order as well, see order.cuh.
//
// Nothing in the result depends on the order of threads. A look at a candidate takes no branch for
// what is common, so that a thread has several of them in flight.

template <class TEAM_TYPE, class INDICES_TYPE = const u32*> struct Selector {
  typedef TEAM_TYPE Team;
  typedef SelectSpace<Team::size> Space;
  static const int per_thread = Space::bins / Team::size;
  static const u32 usual = sizeof(Key) == 8 ? 2 : 8;  // loads in flight
  static const u32 margin = WINNERS && REPAIR ? 24 : 0;  // of the worst results, to be ranked if it is cheap
  struct __align__(per_thread * 4) Bins {
    u32 of[per_thread];
  };
  Space& space;
  // Candidates, in any memory; those of a thread are `mine`, at its rank, then Team::size apart.
  // Each bucket's best is among the first `heads` of a thread.
  const Key* keys;
  INDICES_TYPE positions;
  u32 mine, heads;
  u32 n;      // BINNED: positions are less
  u32* more;  // BINNED 2: room for Space::bins integers

  __device__ static u32 share(u32 m) { return m > Team::rank() ? (m - Team::rank() - 1) / Team::size + 1 : 0; }

  // m candidates, the best of each bucket among the first b.
  __device__ Selector(Space& s, const Key* k, INDICES_TYPE p, u32 m, u32 b = NOWHERE, u32 of = NOWHERE, void* place = nullptr)
      : space(s), keys(k), positions(p), mine(share(m)), heads(share(b < m ? b : m)), n(of), more((u32*)place) {}

  // Calls f(i, keys[i]) for the thread's candidates, whose keys are loaded `ahead` at a time.
  template <u32 ahead = usual, class F> __device__ void each(const F& f) const {
    volatile const Key* at = keys + Team::rank();  // volatile: loads of a batch are issued together
    u32 i = Team::rank(), left = mine;
#pragma unroll 1
    for (; ahead > 1 && left >= ahead; left -= ahead) {
      Key x[ahead];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) x[j] = at[j * Team::size];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) f(i + j * Team::size, x[j]);
      at += ahead * Team::size, i += ahead * Team::size;
    }
#pragma unroll 1
    for (; left; --left, at += Team::size, i += Team::size) f(i, *at);
  }

  // Marks of the thread's candidates from 32 * chunk on, 32 at most: f(i, keys[i], a, b) says whether
  // the i-th gets one of each kind.
  template <u32 ahead = usual, class F> __device__ void mark(u32 chunk, u32& a, u32& b, const F& f) const {
    u32 i = Team::rank() + 32 * chunk * Team::size, place = 0;
    const u32 count = mine - 32 * chunk < 32 ? mine - 32 * chunk : 32;
    volatile const Key* at = keys + i;
    a = b = 0;
#pragma unroll 1
    for (; ahead > 1 && place + ahead <= count; place += ahead) {
      Key x[ahead];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) x[j] = at[j * Team::size];
      u32 some_a = 0, some_b = 0;
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) {
        bool is_a = false, is_b = false;
        f(i + j * Team::size, x[j], is_a, is_b);
        or_if(is_a, some_a, 1u << j), or_if(is_b, some_b, 1u << j);
      }
      a |= some_a << place, b |= some_b << place;
      at += ahead * Team::size, i += ahead * Team::size;
    }
#pragma unroll 1
    for (; place < count; ++place, at += Team::size, i += Team::size) {
      bool is_a = false, is_b = false;
      f(i, *at, is_a, is_b);
      or_if(is_a, a, 1u << place), or_if(is_b, b, 1u << place);
    }
  }
  // Calls g(i) for the marked of a chunk.
  template <class G> __device__ void each_of(u32 chunk, u32 marks, const G& g) const {
#pragma unroll 1
    for (; marks; marks &= marks - 1) g(Team::rank() + (32 * chunk + __ffs(marks) - 1) * Team::size);
  }
  // How many candidates of the thread get the first mark; `marks` are those of its last chunk, mostly
  // the only one.
  template <class F> __device__ u32 count(const F& marked, u32& marks) const {
    u32 own = 0, others;
    marks = 0;
#pragma unroll 1
    for (u32 chunk = 0; 32 * chunk < mine; ++chunk) {
      mark(chunk, marks, others, marked);
      own += __popc(marks);
    }
    return own;
  }
  // Calls g(i) for those.
  template <u32 ahead = usual, class F, class G> __device__ void each_marked(u32 marks, const F& marked, const G& g) const {
#pragma unroll 1
    for (u32 chunk = 0; 32 * chunk < mine; ++chunk) {
      u32 others;
      if (mine > 32) mark<ahead>(chunk, marks, others, marked);
      each_of(chunk, marks, g);
    }
  }

  // Least and greatest of all threads' values.
  __device__ void range(Key& least, Key& greatest) const {
    least = warp_min(least);
    greatest = warp_max(greatest);
    if (Team::is_warp) return Team::sync();
    if (Team::lane() == 0) space.least[Team::warp()] = least, space.greatest[Team::warp()] = greatest;
    Team::sync();
    const u32 from = Team::lane() % Team::warps;
    least = warp_min(space.least[from]);
    greatest = warp_max(space.greatest[from]);
  }

  // The range of what can be among the k best: from the least of the greatest keys of groups, of
  // which a thread has N and all together have at least k, to the greatest of all.
  template <int N> __device__ void range_of_groups(Key& least, Key& greatest) const {
    Key best[N];
#pragma unroll
    for (int g = 0; g < N; ++g) best[g] = 0;
    // What follows a bucket's best need not be looked at, unless it makes more groups.
    const u32 looked_at = heads < N ? (mine < N ? mine : N) : heads;
    const u32 ahead = N > 4 ? N : 4;
    volatile const Key* at = keys + Team::rank();
    u32 left = looked_at;
#pragma unroll 1
    for (; left >= ahead; left -= ahead, at += ahead * Team::size) {
      Key x[ahead];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) x[j] = at[j * Team::size];
#pragma unroll
      for (u32 j = 0; j < ahead; ++j) best[j % N] = x[j] > best[j % N] ? x[j] : best[j % N];
    }
#pragma unroll
    for (u32 j = 0; j + 1 < ahead; ++j) {
      if (j >= left) break;
      const Key x = at[j * Team::size];
      best[j % N] = x > best[j % N] ? x : best[j % N];
    }
    least = ~(Key)0, greatest = 0;
#pragma unroll
    for (int g = 0; g < N; ++g) {
      least = g < looked_at && best[g] < least ? best[g] : least;
      greatest = best[g] > greatest ? best[g] : greatest;
    }
    range(least, greatest);
  }

  __device__ void range_of_all(Key& least, Key& greatest) const {
    least = ~(Key)0, greatest = 0;
    each([&](u32, Key x) {
      least = x < least ? x : least;
      greatest = x > greatest ? x : greatest;
    });
    range(least, greatest);
  }

  __device__ u32 scan(u32 own) const { return space.template sum_before<Team>(own); }

  // A thread's bins, thread 0 the highest ones.
  __device__ Bins& bins_of_thread() const { return ((Bins*)space.count)[Team::size - 1 - Team::rank()]; }

  // Before the first barrier.
  __device__ void clear() const {
    Bins none = {};
    bins_of_thread() = none;
    space.list.template clear<Team>();
  }

  // How far to shift a key's distance from the least so that it numbers a bin.
  __device__ static int shift_for(Key width) {
    const int length = bit_length(width);
    return length > Space::bits ? length - Space::bits : 0;
  }

  // What does not count goes to a bin of its own: lanes that meet in one cost nothing, a branch does.
  __device__ void count_if(bool counts, Key distance, int shift) const {
    atomicAdd(&space.count[counts ? (u32)(distance >> shift) : Space::bins], 1u);
  }

  // After a barrier: the bin that holds the `want`-th counted from the top, and the top bin, which holds
  // the one `margin` places ahead of it. Leaves all counts zero.
  __device__ void find_bin(u32 want) const {
    const u32 ahead = want > margin ? want - margin : 1;
    const u32 top = Space::bins - 1 - Team::rank() * per_thread;
    const Bins own = bins_of_thread(), none = {};
    bins_of_thread() = none;
    u32 sum = 0;
#pragma unroll
    for (int i = 0; i < per_thread; ++i) sum += own.of[i];
    u32 before = scan(sum);
    if (before < want && ahead <= before + sum) {
#pragma unroll
      for (int i = 0; i < per_thread; ++i) {
        const u32 inside = own.of[per_thread - 1 - i];
        if (before < want && want <= before + inside) {
          space.bin = top - i, space.above = before, space.inside = inside;
        }
        if (margin && before < ahead && ahead <= before + inside) space.top_bin = top - i, space.top_above = before;
        before += inside;
      }
    }
    Team::sync();
  }

  // Narrows the range of keys (TIES: of complemented indices of those with the key `tie`) to the bin that
  // holds the `want`-th counted from the top, or to those from it to the top bin where few are in them,
  // and wants less what is above. Returns how many are inside.
  template <bool TIES> __device__ u32 cut(u32& want, Key& least, Key& greatest, Key tie) const {
    const Key width = greatest - least;
    const int shift = shift_for(width);
    each<TIES ? 1 : usual>([&](u32 i, Key x) {
      if (TIES && x != tie) return;
      const Key distance = (TIES ? (Key)~positions[i] : x) - least;
      count_if(distance <= width, distance, shift);
    });
    Team::sync();
    find_bin(want);
    u32 top = space.bin, above = space.above, inside = space.inside;
    if (margin && above + inside - space.top_above <= Space::few) {
      top = space.top_bin, inside += above - space.top_above, above = space.top_above;
    }
    want -= above;
    const Key below_greatest = greatest - least, below_end = ((Key)(top + 1) << shift) - 1;
    greatest = below_greatest < below_end ? greatest : least + below_end;
    least += (Key)space.bin << shift;
    return inside;
  }

  // A lower bound of the k-th candidate, and hardly below it; N as for range_of_groups().
  template <int N> __device__ Key bound(u32 k) const {
    Key least, greatest;
    clear();
    range_of_groups<N>(least, greatest);
    cut<false>(k, least, greatest, 0);
    return least;
  }

  // Narrows the range until few are in it, of which the `want` best are wanted, and all above it. Only a single
  // key can be of more.
  template <bool TIES> __device__ u32 narrow(u32& want, Key& least, Key& greatest, Key tie) const {
    u32 inside;
    do {
      inside = cut<TIES>(want, least, greatest, tie);
    } while (inside > Space::few && greatest > least);
    return inside;
  }

  // The k best to sink(place, key, index), 1 <= k <= candidates, after sink.begin(a key that the k-th reaches). If
  // they are not put in order, those ahead of the ones that are ranked go to sink.above().
  // G groups of a thread bound them, 0: none.
  // Returns how many of them, the last ones, are the worst, and best first.
  template <int G, class Sink> __device__ u32 select(u32 k, const Sink& sink) const {
    Key least, greatest;
    clear();
    if (G)
      range_of_groups<G + !G>(least, greatest);
    else
      range_of_all(least, greatest);
    u32 want = k;
    const Key top = greatest;
    u32 inside = narrow<false>(want, least, greatest, 0);
    sink.begin(least);
    if (inside <= Space::few) return take<false>(k, want, least, greatest, 0, top, sink);
    const Key tie = least;  // more than a few have one key
    least = 0, greatest = (u32)~0u;
    narrow<true>(want, least, greatest, tie);
    return take<true>(k, want, least, greatest, tie, top, sink);
  }

  // What narrow() found to the sink: all above the range, up to the key `top`, then the `want` best of those
  // inside it, ranked.
  template <bool TIES, class Sink>
  __device__ u32 take(u32 k, u32 want, Key least, Key greatest, Key tie, Key top, const Sink& sink) const {
    const u32 ahead = TIES ? 1 : usual;
    const Key from = greatest + 1;
    const bool none = greatest == (TIES ? (Key)(u32)~0u : (Key)~(Key)0);  // above the greatest key there is
    const auto chosen = [&](u32 i, Key x, bool& is, bool& listed) {
      if (TIES && x != tie) {
        is = x > tie;
        return;
      }
      const Key y = TIES ? (Key)~positions[i] : x;
      is = !none & (y >= from);
      listed = (y >= least) & (y <= greatest);
    };
    u32 own = 0, marks = 0;
#pragma unroll 1
    for (u32 chunk = 0; 32 * chunk < mine; ++chunk) {
      u32 few;
      mark<ahead>(chunk, marks, few, chosen);
      own += __popc(marks);
      each_of(chunk, few, [&](u32 i) { space.list.entries[atomicAdd(&space.list.length, 1u)] = listed(keys[i], positions[i]); });
    }
    const u32 total = k - want, place = scan(own);
    if (Team::is_warp) Team::sync();
    space.list.template rank<Team>(space.list.length, want, total, sink);  // a few warps do
#if BINNED
    const InOrder<Selector> in_order(*this);
    if constexpr (TIES)
      in_order.template emit<ahead>(place, total, marks, chosen, in_order.with_ties(tie, (u32)from, top), sink);
    else
      in_order.template emit<ahead>(place, total, marks, chosen, in_order.between(from, top), sink);
    return k;
#else
    emit<ahead>(place, total, marks, chosen, sink.above());
    return want;
#endif
  }

  // All that are not empty, `total` of them.
  template <class Sink> __device__ void select_all(u32 total, const Sink& sink) const {
    const auto marked = [&](u32 i, Key, bool& is, bool&) { is = positions[i] != NOWHERE; };
#if BINNED
    Key least = ~(Key)0, greatest = 0;
    each([&](u32 i, Key x) {
      if (positions[i] == NOWHERE) return;
      least = x < least ? x : least;
      greatest = x > greatest ? x : greatest;
    });
    clear();
    range(least, greatest);
#endif
    u32 marks;
    const u32 own = count(marked, marks);
#if BINNED
    const InOrder<Selector> in_order(*this);
    in_order.template emit<usual>(scan(own), total, marks, marked, in_order.between(least, greatest), sink);
#else
    emit<usual>(scan(own), total, marks, marked, sink);
#endif
  }

  // The marked candidates, `total` of them, to sink(place, key, index). The thread's own begin at
  // `place`, by scan(); `marks` are those of its last chunk.
  template <u32 ahead, class F, class Sink>
  __device__ void emit(u32 place, u32 total, u32 marks, const F& marked, const Sink& sink) const {
    u32* const slots = space.count;
#pragma unroll 1
    for (u32 from = 0; from < total; from += Space::bins) {
      u32 at = place - from;  // beyond all bins where it is before `from`
      each_marked<ahead>(marks, marked, [&](u32 i) {
        store_if(at < Space::bins, slots + at, i);
        ++at;
      });
      Team::sync();
      const u32 count = total - from < Space::bins ? total - from : Space::bins;
#pragma unroll 1
      for (u32 j = Team::rank(); j < count; j += per_thread * Team::size) {
        Key x[per_thread];
        u32 index[per_thread];
#pragma unroll
        for (u32 e = 0; e < per_thread; ++e) {
          const u32 slot = slots[j + e * Team::size < count ? j + e * Team::size : j];
          x[e] = keys[slot], index[e] = positions[slot];
        }
#pragma unroll
        for (u32 e = 0; e < per_thread; ++e) {
          if (j + e * Team::size < count) sink(from + j + e * Team::size, x[e], index[e]);
        }
      }
      if (from + Space::bins < total) Team::sync();
    }
  }
};
