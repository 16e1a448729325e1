// The single-thread parts of the kernels, compiled for the host: keys, queues, addressing, walk.
// The kernels' own sources follow; `__device__` means nothing here.

#define __device__
#include KERNEL_SOURCES

extern "C" void keys_of(const Bits* elements, long n, Key* keys, Bits* back, unsigned char* unclear) {
  for (long i = 0; i < n; ++i) {
    keys[i] = key_at<Element>(order<Element, LARGEST>((Word)elements[i]), 0);
    back[i] = unorder<Element, LARGEST>(keys[i]);
    unclear[i] = ambiguous<Element, LARGEST>(keys[i]);
  }
}

// What the threads of a block leave: lists in the block's order, KB entries each.
extern "C" void walk_block(const Bits* arr, const unsigned* numbers, unsigned threads, unsigned row0, unsigned bucket0,
                           unsigned split, Key* keys, u32* positions) {
  Params p = {};
  p.arr = arr;
  p.rows = numbers[0], p.in.outer = numbers[1], p.in.step = numbers[2], p.inner = 1;
  p.n = numbers[3], p.b = numbers[4], p.tile = numbers[5], p.parts = numbers[6], p.splits = numbers[7], p.block_rows = numbers[8];
  p.steps = p.n / (p.b * p.parts * p.splits), p.rest = p.n % (p.b * p.parts * p.splits);
  for (unsigned thread = 0; thread < threads; ++thread) {
    const Share share = share_of(p, thread);
    if (share.row >= p.block_rows || share.part >= p.parts || row0 + share.row >= p.rows) continue;
    Queues queues;
    const Place place = place_of(p, share, row0 + share.row, bucket0 + share.bucket, split);
    walk(queues, place);
    for (int u = 0; u < V; ++u) {
      const u32 list = share.list + u * share.list_step;
      for (int i = 0; i < KB; ++i) {
        keys[list * KB + i] = queues[u].key(i);
        positions[list * KB + i] = index_at(queues[u], place, u, i);
      }
    }
  }
}
