// Causal attention over paged keys and values. Keys are cut into segments of 256 by absolute position; within one, a
// score is one chain of fma over the columns of a head, the softmax takes the segment's maximum, and the weighted values
// are one chain over its keys. Segments are folded together in ascending order. So a result depends neither on block
// size and placement, nor on chunks, batch and threads, and prefill has the bits of decode.
#include "attention-work.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// Fewer rows x key heads than this per thread are shared out by segments.
constexpr int64_t kFewPairs = 4;

// How the rows are shared out; the same for every thread, since it follows from the inputs.
struct Plan {
  bool split;  // by segments, whose results meet in the shared memory
  int64_t rowsOfBlock;
};

int64_t pairsOf(const Tensor& q, int64_t kvHeads) { return q.rows * kvHeads; }

// Segments that the widest block table can reach.
int64_t segmentsOf(const Tensor& tables, int64_t blockSize) {
  return (tables.cols * blockSize + kSegment - 1) / kSegment;
}

// A part in shared memory: the sums of a head, then highest and total.
int64_t recordFloats(const Job& job) { return job.padded + kLanes; }

float* recordOf(const Job& job, Context& context, int64_t row, int64_t head, int64_t segment) {
  int64_t index = (row * job.heads() + head) * segmentsOf(job.tables, job.blockSize) + segment;
  return (float*)context.shared() + index * recordFloats(job);
}

Plan planOf(const Job& job, Context& context) {
  int64_t pairs = pairsOf(job.q, job.kvHeads), threads = context.threads(), deepest = 1;
  for (int64_t r = 0; r < job.q.rows; r++) {
    int64_t position = job.position(r), segments = position / kSegment - job.firstKey(position) / kSegment + 1;
    if (segments > deepest) deepest = segments;
  }
  bool even = job.q.rows == 1 && job.kvHeads % threads == 0;
  bool split = threads > 1 && pairs < kFewPairs * threads && deepest > 1 && !even && context.shared();
  int64_t rows = (pairs * (split ? deepest : 1) + 2 * threads - 1) / (2 * threads);
  int64_t most = kMaxQueries > job.group ? kMaxQueries / job.group : 1;
  return {split, rows < most ? rows : most};
}

// Calls body(block) for runs of rows of one sequence at consecutive or at equal positions, cut evenly.
template <class F>
void forEachBlock(const Job& job, int64_t most, F body) {
  for (int64_t first = 0, end; first < job.q.rows; first = end) {
    int64_t step = first + 1 < job.q.rows && job.position(first + 1) == job.position(first) ? 0 : 1;
    for (end = first + 1; end < job.q.rows && job.sequence(end) == job.sequence(first) &&
                          job.position(end) == job.position(end - 1) + step;)
      end++;
    int64_t rows = end - first, blocks = (rows + most - 1) / most;
    for (int64_t b = 0; b < blocks; b++) {
      int64_t begin = rows * b / blocks;
      body(Block{first + begin, rows * (b + 1) / blocks - begin, job.position(first + begin), job.sequence(first), step});
    }
  }
}

// Every index that the rows use, before anything is read through it. Tables may have unused entries of any value.
bool check(const Job& job, Context& context) {
  int64_t bad = 0;
  bool fine = true;
  auto refuse = [&](int64_t value) { bad = fine ? value : bad, fine = false; };
  forEachBlock(job, job.q.rows, [&](const Block& block) {
    int64_t last = block.last();
    if (block.sequence < 0 || block.sequence >= job.tables.rows) return refuse(block.sequence);
    if (block.position < 0) return refuse(block.position);
    if (last / job.blockSize >= job.tables.cols) return refuse(last);
    const int32_t* table = rowOf<const int32_t>(job.tables, block.sequence);
    for (int64_t b = job.firstKey(block.position) / job.blockSize; b <= last / job.blockSize; b++)
      if (table[b] < 0 || table[b] >= job.keys.dims[0]) return refuse(table[b]);
  });
  if (!fine) context.fail(Code::kOutOfRange, bad);
  return fine;
}

// Roughly what a segment of a block costs: its vectors of keys, once for every query and some more to bring them in.
int64_t costOf(const Job& job, const Block& block, int64_t segment) {
  Range keys = block.keys(job, segment);
  return keys.end <= keys.begin ? 0 : ((keys.end - 1) / kLanes - keys.begin / kLanes + 1) * (block.rows * job.group + 6);
}

void save(const Job& job, Context& context, const Work& work, const Block& block, int64_t kvHead, int64_t segment) {
  for (int64_t q = 0; q < block.rows * job.group; q++) {
    float* record = recordOf(job, context, block.row + q / job.group, kvHead * job.group + q % job.group, segment);
    memcpy(record, work.part.sums + q * job.padded, (size_t)job.padded * sizeof(float));
    record[job.padded] = work.part.highest[q];
    record[job.padded + 1] = work.part.total[q];
  }
}

void write(const Job& job, int64_t row, int64_t head, const float* sums, float total) {
  float* out = rowOf<float>(job.out, row) + head * job.width;
  for (int64_t c = 0; c < job.width; c += kLanes)
    storePartial(out + c, div(load(sums + c), set1(total)), job.width - c);
}

// Folds the saved segments of this thread's share of rows x heads.
void merge(const Job& job, Context& context, const Work& work) {
  Share share = shareOf(job.q.rows * job.heads(), context);
  for (int64_t i = share.begin; i < share.end; i++) {
    int64_t row = i / job.heads(), head = i % job.heads(), position = job.position(row);
    int64_t first = job.firstKey(position) / kSegment;
    for (int64_t s = first; s <= position / kSegment; s++) {
      float* record = recordOf(job, context, row, head, s);
      fold(job.padded, s == first, record, record[job.padded], record[job.padded + 1], work.whole, 0);
    }
    write(job, row, head, work.whole.sums, work.whole.total[0]);
  }
}

template <class T>
void attendBlock(const Job& job, const Work& work, const Block& block, int64_t kvHead) {
  loadQueries(job, work, block, kvHead);
  for (int64_t s = block.firstSegment(job); s <= block.lastSegment(); s++) {
    attendSegment<T>(job, work, block, kvHead, s);
    for (int64_t q = 0; q < block.rows * job.group; q++) {
      int64_t position = block.at(q / job.group), first = job.firstKey(position) / kSegment;
      if (s < first || s > position / kSegment) continue;
      fold(job.padded, s == first, work.part.sums + q * job.padded, work.part.highest[q], work.part.total[q], work.whole, q);
    }
  }
  for (int64_t q = 0; q < block.rows * job.group; q++)
    write(job, block.row + q / job.group, kvHead * job.group + q % job.group, work.whole.sums + q * job.padded,
          work.whole.total[q]);
}

// Calls body(block, kvHead, segment) for this thread's part of the work; without `split` once for all segments.
template <class F>
void forEachItem(const Job& job, const Plan& plan, Context& context, F body) {
  // vectors of keys times queries: some twenty microseconds at a time
  constexpr int64_t kGrain = 1024;
  int64_t total = 0;
  forEachBlock(job, plan.rowsOfBlock, [&](const Block& block) {
    for (int64_t s = block.firstSegment(job); s <= block.lastSegment(); s++) total += costOf(job, block, s) * job.kvHeads;
  });
  context.divide(total, kGrain);
  for (Share chunk; context.take(&chunk);) {
    int64_t passed = 0;
    // an item belongs to the chunk in which it begins
    auto mine = [&](int64_t cost) { return (passed += cost) - cost >= chunk.begin && passed - cost < chunk.end; };
    forEachBlock(job, plan.rowsOfBlock, [&](const Block& block) {
      int64_t first = block.firstSegment(job), last = block.lastSegment(), whole = 0;
      for (int64_t s = first; s <= last; s++) whole += costOf(job, block, s);
      if (passed >= chunk.end || passed + whole * job.kvHeads <= chunk.begin) {
        passed += whole * job.kvHeads;
        return;
      }
      for (int64_t head = 0; head < job.kvHeads; head++) {
        if (!plan.split) {
          if (mine(whole)) body(block, head, first);
          continue;
        }
        for (int64_t s = first; s <= last; s++)
          if (mine(costOf(job, block, s))) body(block, head, s);
      }
    });
  }
}

template <class T>
void attendAll(const Job& job, Context& context) {
  // every thread checks everything: a fault is seen by all of them, and nobody waits for the others
  if (!check(job, context)) return;
  Plan plan = planOf(job, context);
  Work work;
  bool ready = carve(job, plan.rowsOfBlock, context, &work);
  if (ready) {
    forEachItem(job, plan, context, [&](const Block& block, int64_t kvHead, int64_t segment) {
      if (!plan.split) return attendBlock<T>(job, work, block, kvHead);
      loadQueries(job, work, block, kvHead);
      attendSegment<T>(job, work, block, kvHead, segment);
      save(job, context, work, block, kvHead, segment);
    });
  }
  if (!plan.split) return;
  context.barrier();
  if (ready) merge(job, context, work);
}

// False when heads and caches do not fit.
bool isSound(const Step& step) {
  const Tensor* t = step.tensors;
  int64_t heads = (int64_t)step.attributes[0], kvHeads = (int64_t)step.attributes[1];
  if (kvHeads <= 0 || heads <= 0 || heads % kvHeads != 0 || t[1].dims[1] <= 0) return false;
  if (!areCaches(t[1], t[2], t[3], t[4]) || (t[3].data && t[3].cols != kvHeads)) return false;
  return t[0].cols > 0 && t[0].cols / heads * kvHeads == t[1].cols;
}

Job jobOf(const Step& step) {
  const Tensor* t = step.tensors;
  int64_t heads = (int64_t)step.attributes[0], kvHeads = (int64_t)step.attributes[1], width = t[0].cols / heads;
  return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], kvHeads, heads / kvHeads, width,
          (width + kLanes - 1) / kLanes * kLanes, t[1].dims[1], (int64_t)step.attributes[3], (float)step.attributes[2]};
}

}  // namespace

size_t attentionWorkspace(const Step& step, int threads) {
  if (!isSound(step)) return 0;
  Job job = jobOf(step);
  if (threads == 1 || pairsOf(job.q, job.kvHeads) >= kFewPairs * threads) return 0;
  int64_t segments = segmentsOf(job.tables, job.blockSize);
  if (segments < 2) return 0;
  return (size_t)(job.q.rows * job.heads() * segments * recordFloats(job)) * sizeof(float);
}

void attention(const Step& step, Context& context) {
  if (!isSound(step)) return context.fail(Code::kMalformed);
  Job job = jobOf(step);
  switch (job.keys.dtype) {
    case DType::kF32: return attendAll<float>(job, context);
    case DType::kBf16: return attendAll<Bf16>(job, context);
    case DType::kF16: return attendAll<F16>(job, context);
    case DType::kI8: return attendAll<int8_t>(job, context);
    default: return context.fail(Code::kUnsupported);
  }
}

}  // namespace slipway::SLIPWAY_TARGET
