// Stage 2 for a team: the k best of m candidates, ties to the lower index.
//
// Few winners (`few`): the k-th of the threads' best candidates is a lower bound of the k-th
// candidate, and hardly below it. What reaches it survives; survivors are ranked by comparing all
// pairs, and a rank is a place in the output. Everything happens in two looks at the candidates.
//
// More winners, or too many survivors (`threshold`, `emit`): a radix select whose digits fit the
// data: the range of the keys left is cut into equal bins, these are counted, and the bin with the
// k-th key is the next range. Maxima of buckets lie close together, so bins of their range separate
// them where the top bits of a key would not; one pass is the rule, ceil(bits / log2(bins)) the
// worst case. When few are left in the bin, they are ranked by comparing all pairs; when all that
// are left have one key, indices are selected among in the same way.
//
// Very few winners and a warp (`extract`): the best candidate, k times.
//
// Nothing in the result depends on the order of threads.

template <int SIZE> struct SelectSpace {
  // Four bins a thread up to 2048; a warp's or a small block's space stays small.
  static const int bins = SIZE >= 512 ? 2048 : SIZE * 4;
  static const int bits = SIZE >= 512 ? 11 : SIZE == 256 ? 10 : SIZE == 128 ? 9 : SIZE == 64 ? 8 : 7;
  static const int room = SIZE >= 128 ? 256 : 64;  // survivors
  static const int few = 64;                       // candidates that are left to a last ranking
  Key list_keys[room];
  u32 list_positions[room];
  Key least[32], greatest[32];  // per warp
  u32 totals[32];               // per warp
  u32 bin, above, inside, length;
  Key key;
  u32 last;
  u32 count[bins];
};

// Candidates with a greater key, or this key and an index up to `last`, are selected.
struct Threshold {
  Key key;
  u32 last;
};

// Calls f(i, keys[i]) for the thread's share of m keys; loads go ahead of the calls. The code is
// kept short: a row's selection runs it once, so fetching instructions is a good part of its time.
template <class Team, class F> __device__ inline void each_key(const Key* keys, u32 m, const F& f) {
  const u32 ahead = 4;
#pragma unroll 1
  for (u32 i = Team::rank(); i < m; i += ahead * Team::size) {
    Key x[ahead];
#pragma unroll
    for (u32 j = 0; j < ahead; ++j) x[j] = i + j * Team::size < m ? keys[i + j * Team::size] : 0;
#pragma unroll
    for (u32 j = 0; j < ahead; ++j) {
      if (i + j * Team::size < m) f(i + j * Team::size, x[j]);
    }
  }
}

template <class Team> struct Selector {
  typedef SelectSpace<Team::size> Space;
  static const int per_thread = Space::bins / Team::size;
  Space& space;

  // Before anything else; a barrier must follow before `threshold` is asked for.
  __device__ void prepare() const {
    for (int i = Team::rank(); i < Space::bins; i += Team::size) space.count[i] = 0;
    if (Team::rank() == 0) space.length = 0;
  }

  // Least and greatest of all threads' values.
  __device__ void range(Key& least, Key& greatest) const {
    least = warp_min(least);
    greatest = warp_max(greatest);
    if (Team::is_warp) return;
    if (Team::lane() == 0) space.least[Team::warp()] = least, space.greatest[Team::warp()] = greatest;
    Team::sync();
    const u32 from = Team::lane() % Team::warps;
    least = warp_min(space.least[from]);
    greatest = warp_max(space.greatest[from]);
  }

  // The bin that holds the `want`-th counted from the top; leaves all counts at zero.
  __device__ void find_bin(u32 want) const {
    const u32 top = Space::bins - 1 - Team::rank() * per_thread;  // thread 0 has the highest bins
    u32 own[per_thread], sum = 0;
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      sum += own[i] = space.count[top - i];
      space.count[top - i] = 0;
    }
    u32 before = warp_scan(sum);
    if (!Team::is_warp) {
      if (Team::lane() == 31) space.totals[Team::warp()] = before;
      Team::sync();
      const u32 total = Team::lane() < Team::warps ? space.totals[Team::lane()] : 0;
      before += __reduce_add_sync(~0u, Team::lane() < Team::warp() ? total : 0);
    }
    before -= sum;
    if (before < want && want <= before + sum) {
#pragma unroll
      for (int i = 0; i < per_thread; ++i) {
        if (before < want && want <= before + own[i]) {
          space.bin = top - i, space.above = before, space.inside = own[i];
        }
        before += own[i];
      }
    }
    Team::sync();
  }

  // How far to shift a key's distance from the least so that it numbers a bin.
  __device__ static int shift_for(Key width) {
    const int length = bit_length(width);
    return length > Space::bits ? length - Space::bits : 0;
  }

  // Gives the k best to sink(rank, key, index), 1 <= k <= min(m, team, room). Returns false, and
  // gives nothing, where too many candidates reach the bound.
  template <class Sink>
  __device__ bool few(const Key* keys, const u32* positions, u32 m, u32 k, const Sink& sink) const {
    Key best = 0;
    each_key<Team>(keys, m, [&](u32, Key x) { best = x > best ? x : best; });
    const bool any = Team::rank() < m;
    Key least = any ? best : ~(Key)0, greatest = any ? best : 0;
    range(least, greatest);
    const int shift = shift_for(greatest - least);
    if (any) atomicAdd(&space.count[(u32)((best - least) >> shift)], 1u);
    Team::sync();
    find_bin(k);
    const Key bound = least + ((Key)space.bin << shift);
    each_key<Team>(keys, m, [&](u32 i, Key x) {
      if (x >= bound) append(x, positions[i]);
    });
    Team::sync();
    const u32 survivors = space.length;
    if (survivors > Space::room) {
      Team::sync();
      if (Team::rank() == 0) space.length = 0;
      return false;
    }
    rank_list(survivors, [&](u32 rank, const Entry<Key>& entry) {
      if (rank < k) sink(rank, entry.key, entry.index);
    });
    Team::sync();
    if (Team::rank() == 0) space.length = 0;
    return true;
  }

  __device__ void append(Key key, u32 index) const {
    const u32 at = atomicAdd(&space.length, 1u);
    if (at < Space::room) space.list_keys[at] = key, space.list_positions[at] = index;
  }

  // Calls f(rank, entry) once for each entry of the list. Neighbouring threads share an entry's
  // comparisons.
  template <class F> __device__ void rank_list(u32 length, const F& f) const {
    u32 shift = 0;  // log2 of the threads that share an entry
    while (shift < 5 && length << (shift + 1) <= Team::size) ++shift;
    const u32 sharing = 1u << shift;
#pragma unroll 1
    for (u32 first = 0; first < length; first += Team::size >> shift) {
      const u32 i = first + (Team::rank() >> shift);
      const Entry<Key> entry = {space.list_keys[i % Space::room], space.list_positions[i % Space::room]};
      u32 ahead = 0;
#pragma unroll 4
      for (u32 j = Team::rank() & (sharing - 1); j < length; j += sharing) {
        const Key key = space.list_keys[j];
        const u32 index = space.list_positions[j];
        ahead += (key > entry.key) | ((key == entry.key) & (index < entry.index));
      }
#pragma unroll 1
      for (u32 d = sharing / 2; d; d /= 2) ahead += __shfl_xor_sync(~0u, ahead, d);
      if ((Team::rank() & (sharing - 1)) == 0 && i < length) f(ahead, entry);
    }
  }

  // The same for a warp and very few winners: the best candidate is taken out k times. Each lane
  // knows its best; the one that loses it looks through its share again. Empties what it takes.
  template <class Sink>
  __device__ void extract(Key* keys, u32* positions, u32 m, u32 k, const Sink& sink) const {
    Entry<Key> best;
    u32 at;
    const auto look = [&] {
      best.key = 0, best.index = NOWHERE, at = 0;
#pragma unroll 4
      for (u32 i = Team::lane(); i < m; i += 32) {
        const Entry<Key> other = {keys[i], positions[i]};
        if (better(other, best)) best = other, at = i;
      }
    };
    look();
#pragma unroll 1
    for (u32 rank = 0; rank < k; ++rank) {
      const Key key = warp_max(best.key);
      const u32 index = warp_min(best.key == key ? best.index : NOWHERE);
      if (best.index == index) {
        sink(rank, key, index);
        keys[at] = 0, positions[at] = NOWHERE;
        look();
      }
      __syncwarp();
    }
  }

  // The threshold of the k best, 1 <= k <= candidates. `keys` and `positions` are anywhere.
  __device__ Threshold threshold(const Key* keys, const u32* positions, u32 m, u32 k) const {
    Key least = ~(Key)0, greatest = 0;
    each_key<Team>(keys, m, [&](u32, Key x) {
      least = x < least ? x : least;
      greatest = x > greatest ? x : greatest;
    });
    range(least, greatest);
    int shift = shift_for(greatest - least);
    each_key<Team>(keys, m, [&](u32, Key x) { atomicAdd(&space.count[(u32)((x - least) >> shift)], 1u); });

    Threshold result = {0, NOWHERE};
    bool by_index = false;  // all that is left has the key result.key
    u32 want = k;
    // What is left of a candidate to be ordered by, and whether it is in the range.
    const auto digit = [&](u32 i, Key x) { return by_index ? (Key)~positions[i] : x; };
    const auto left = [&](Key x, Key d) { return d >= least && d <= greatest && (!by_index || x == result.key); };
    while (true) {
      Team::sync();
      find_bin(want);
      const u32 inside = space.inside;
      want -= space.above;
      least += (Key)space.bin << shift;
      const Key width = ((Key)1 << shift) - 1;
      greatest = greatest - least < width ? greatest : least + width;
      if (inside == want) {  // the whole bin
        if (!by_index) result.key = least, result.last = NOWHERE;
        if (by_index) result.last = ~(u32)least;
        return result;
      }
      if (inside <= Space::few) break;
      if (shift == 0) {  // one key, more of it than wanted
        result.key = least;
        by_index = true;
        least = 0, greatest = (u32)~0u;
      }
      shift = shift_for(greatest - least);
      each_key<Team>(keys, m, [&](u32 i, Key x) {
        const Key d = digit(i, x);
        if (left(x, d)) atomicAdd(&space.count[(u32)((d - least) >> shift)], 1u);
      });
    }

    each_key<Team>(keys, m, [&](u32 i, Key x) {
      if (left(x, digit(i, x))) append(x, positions[i]);
    });
    Team::sync();
    rank_list(space.length, [&](u32 rank, const Entry<Key>& entry) {
      if (rank == want - 1) space.key = entry.key, space.last = entry.index;
    });
    Team::sync();
    if (Team::rank() == 0) space.length = 0;
    result.key = space.key;
    result.last = space.last;
    return result;
  }

  // Gives the selected candidates to sink(place, key, index), in candidate order. Each warp first
  // moves those of its run of candidates to the run's beginning, so that a whole warp then writes
  // neighbouring places.
  template <class Sink>
  __device__ void emit(Key* keys, u32* positions, u32 m, const Threshold& threshold, const Sink& sink) const {
    const u32 run = (m + Team::size - 1) / Team::size * 32;
    const u32 begin = Team::warp() * run, end = begin + run < m ? begin + run : m;
    u32 own = 0;
#pragma unroll 2
    for (u32 i = begin + Team::lane(); i - Team::lane() < end; i += 32) {
      const Key key = i < end ? keys[i] : 0;
      const u32 index = i < end ? positions[i] : NOWHERE;
      const bool selected = i < end && (key > threshold.key || (key == threshold.key && index <= threshold.last));
      const u32 ballot = __ballot_sync(~0u, selected);
      if (selected) {  // no lane writes where another has yet to read
        const u32 to = begin + own + __popc(ballot & ((1u << Team::lane()) - 1));
        keys[to] = key;
        positions[to] = index;
      }
      own += __popc(ballot);
    }
    u32 place = 0;
    if (!Team::is_warp) {
      if (Team::lane() == 0) space.totals[Team::warp()] = own;
      Team::sync();
      place = __reduce_add_sync(~0u, Team::lane() < Team::warp() ? space.totals[Team::lane()] : 0);
    } else {
      __syncwarp();
    }
#pragma unroll 2
    for (u32 i = Team::lane(); i < own; i += 32) sink(place + i, keys[begin + i], positions[begin + i]);
  }
};
