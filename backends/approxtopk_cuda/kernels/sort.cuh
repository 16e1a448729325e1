// Sorting entries in shared memory, best first, ties to the lower index.

// Sorts `length` (a power of two) entries of the team by a bitonic network. Begins and ends with a
// barrier. An entry of (0, NOWHERE) is worse than any other.
template <class Team> __device__ inline void sort_entries(Key* keys, u32* positions, u32 length) {
  for (u32 size = 2; size <= length; size *= 2) {
    for (u32 stride = size / 2; stride; stride /= 2) {
      Team::sync();
      for (u32 x = Team::rank(); x < length / 2; x += Team::size) {
        const u32 a = 2 * x - (x & (stride - 1)), b = a + stride;
        const Entry<Key> first = {keys[a], positions[a]}, second = {keys[b], positions[b]};
        const bool falling = (a & size) == 0;
        if (falling ? better(second, first) : better(first, second)) {
          keys[a] = second.key, positions[a] = second.index;
          keys[b] = first.key, positions[b] = first.index;
        }
      }
    }
  }
  Team::sync();
}
