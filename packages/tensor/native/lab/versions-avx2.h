// AVX2. Included by versions.h.

// Half bytes spread to bytes beforehand: no shifts and masks in the tile, but twice the loads.
struct Spread {
  static constexpr int kStepK = 4, kQuad = 4, kOffset = 0;
  template <int M, int C, int>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t done = 0; done < steps; done += 8) {
      Bits pairs[M][2 * C];
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) pairs[m][c] = Bits{};
      }
      for (int64_t i = done; i < done + 8 && i < steps; i++, w += kStepBytes, q += 4 * M) {
        Bits weights[2 * C];
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) weights[c] = loadBits(w + 32 * c);
        SLIPWAY_UNROLL
        for (int m = 0; m < M; m++) {
          Bits quad = spreadQuad(q + 4 * m);
          SLIPWAY_UNROLL
          for (int c = 0; c < 2 * C; c++) dotPairs(pairs[m][c], weights[c], quad);
        }
      }
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) {
          Bits& sum = sums[m][c / 2].part[c % 2];
          sum = addPairs(sum, pairs[m][c]);
        }
      }
    }
  }
};

// Sums of pairs are widened at every step: half the rate, since both multiplies use the same ports.
struct WidenEachStep {
  static constexpr int kStepK = 4, kQuad = 4, kOffset = 0;
  template <int M, int C, int>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 4 * M) {
      Bits weights[2 * C];
      SLIPWAY_UNROLL
      for (int c = 0; c < 2 * C; c++) weights[c] = loadBits(w + 32 * c);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        Bits quad = spreadQuad(q + 4 * m);
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) {
          Bits& sum = sums[m][c / 2].part[c % 2];
          sum = addPairs(sum, _mm256_maddubs_epi16(weights[c], quad));
        }
      }
    }
  }
};

// Bytes as two half bytes each, so that 16-bit sums hold: as many multiplies as 16-bit products, and more additions.
struct SplitBytes {
  static constexpr int kStepK = 4, kQuad = 4, kOffset = 0;
  template <int M, int C, int>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t done = 0; done < steps; done += 8) {
      Bits low[M][2 * C], high[M][2 * C];
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) low[m][c] = high[m][c] = Bits{};
      }
      for (int64_t i = done; i < done + 8 && i < steps; i++, w += kStepBytes, q += 4 * M) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) {
          Bits both = loadBits(w + 32 * c), first = lowNibbles(both), second = highNibbles(both);
          SLIPWAY_UNROLL
          for (int m = 0; m < M; m++) {
            Bits quad = spreadQuad(q + 4 * m);
            low[m][c] = _mm256_add_epi16(low[m][c], _mm256_maddubs_epi16(first, quad));
            high[m][c] = _mm256_add_epi16(high[m][c], _mm256_maddubs_epi16(second, quad));
          }
        }
      }
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) {
          Bits& sum = sums[m][c / 2].part[c % 2];
          sum = _mm256_add_epi32(sum, _mm256_madd_epi16(high[m][c], _mm256_set1_epi16(16)));
          sum = addPairs(sum, low[m][c]);
        }
      }
    }
  }
};

// |w - 128| * (q with the sign of w - 128): 2 * 128 * 127 still fits 16 bits, but nothing may be added before widening.
struct SignedBytes {
  static constexpr int kStepK = 4, kQuad = 4, kOffset = 128;
  template <int M, int C, int>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 4 * M) {
      SLIPWAY_UNROLL
      for (int c = 0; c < 2 * C; c++) {
        Bits weights = _mm256_xor_si256(loadBits(w + 32 * c), _mm256_set1_epi8(-128)), size = _mm256_abs_epi8(weights);
        SLIPWAY_UNROLL
        for (int m = 0; m < M; m++) {
          Bits& sum = sums[m][c / 2].part[c % 2];
          sum = addPairs(sum, _mm256_maddubs_epi16(size, _mm256_sign_epi8(spreadQuad(q + 4 * m), weights)));
        }
      }
    }
  }
};

// Each product is added before the next one is made, which leaves the ports of the additions to chance; with kIntrinsics the
// compiler decides, and keeps sums in memory.
template <bool kIntrinsics>
struct OneByOne {
  static constexpr int kStepK = 8, kQuad = 4, kOffset = 0;
  template <int M, int C, int kAhead>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t done = 0; done < steps; done += 4) {
      Bits pairs[M][2 * C];
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) pairs[m][c] = Bits{};
      }
      for (int64_t i = done; i < done + 4 && i < steps; i++, w += kStepBytes, q += 8 * M) {
        askAhead<kAhead>(w);
        SLIPWAY_UNROLL
        for (int h = 0; h < 2; h++) {
          Bits weights[2 * C];
          SLIPWAY_UNROLL
          for (int c = 0; c < 2 * C; c++)
            weights[c] = h ? highNibbles(loadBits(w + 32 * c)) : lowNibbles(loadBits(w + 32 * c));
          SLIPWAY_UNROLL
          for (int m = 0; m < M; m++) {
            Bits quad = spreadQuad(q + 4 * (h * M + m));
            SLIPWAY_UNROLL
            for (int c = 0; c < 2 * C; c++) {
              if (kIntrinsics) pairs[m][c] = _mm256_add_epi16(pairs[m][c], _mm256_maddubs_epi16(weights[c], quad));
              else dotPairs(pairs[m][c], weights[c], quad);
            }
          }
        }
      }
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) sums[m][c / 2].part[c % 2] = addPairs(sums[m][c / 2].part[c % 2], pairs[m][c]);
      }
    }
  }
};

// Even and odd bytes of all weights are held at once, and the compiler orders the products.
struct BytesHeld {
  static constexpr int kStepK = 4, kQuad = 8, kOffset = 0;
  template <int M, int C, int kAhead>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 8 * M) {
      askAhead<kAhead>(w);
      Bits even[2 * C], odd[2 * C];
      SLIPWAY_UNROLL
      for (int c = 0; c < 2 * C; c++) {
        Bits bytes = loadBits(w + 32 * c);
        even[c] = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
        odd[c] = _mm256_srli_epi16(bytes, 8);
      }
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        Bits first = spreadQuad(q + 8 * m), second = spreadQuad(q + 8 * m + 4);
        SLIPWAY_UNROLL
        for (int c = 0; c < 2 * C; c++) {
          Bits& sum = sums[m][c / 2].part[c % 2];
          sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even[c], first));
          sum = _mm256_add_epi32(sum, _mm256_madd_epi16(odd[c], second));
        }
      }
    }
  }
};

inline std::vector<Version> versions() {
  using Nibbles = Shipped<Form::kNibbles>;
  using Bytes = Shipped<Form::kBytes>;
  return {
      version<Nibbles, 4, kPackedWeights, 1, 2, 1280>("4 bits, 1x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 1, 2>("4 bits, 1x32, nothing asked ahead"),
      version<Nibbles, 4, kPackedWeights, 1, 2, 1024>("4 bits, 1x32, 1 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 1, 2, 4096>("4 bits, 1x32, 4 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 1, 1, 2048>("4 bits, 1x16"),
      version<Nibbles, 4, kPackedWeights, 2, 1, 2048>("4 bits, 2x16"),
      version<Nibbles, 4, kPackedWeights, 2, 1>("4 bits, 2x16, nothing asked ahead"),
      version<Nibbles, 4, kPackedWeights, 2, 1, 1024>("4 bits, 2x16, 1 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 2, 1, 4096>("4 bits, 2x16, 4 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 2, 2, 2048>("4 bits, 2x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 3, 1, 2048>("4 bits, 3x16, shipped"),
      version<Nibbles, 4, kPackedWeights, 4, 1, 2048>("4 bits, 4x16, shipped, for more rows too"),
      version<Nibbles, 4, kPackedWeights, 4, 1>("4 bits, 4x16, nothing asked ahead"),
      version<Nibbles, 4, kPackedWeights, 4, 1, 4096>("4 bits, 4x16, 4 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 5, 1, 2048>("4 bits, 5x16"),
      version<Nibbles, 4, kPackedWeights, 6, 1, 2048>("4 bits, 6x16"),
      version<OneByOne<false>, 4, kPackedWeights, 1, 2, 2048>("4 bits, 1x32, one by one"),
      version<OneByOne<false>, 4, kPackedWeights, 3, 1, 2048>("4 bits, 3x16, one by one"),
      version<OneByOne<false>, 4, kPackedWeights, 4, 1, 2048>("4 bits, 4x16, one by one"),
      version<OneByOne<true>, 4, kPackedWeights, 4, 1, 2048>("4 bits, 4x16, one by one, intrinsics"),
      version<Spread, 4, kSpreadWeights, 2, 2>("4 bits spread, 2x32"),
      version<Spread, 4, kSpreadWeights, 3, 1>("4 bits spread, 3x16"),
      version<Spread, 4, kSpreadWeights, 3, 2>("4 bits spread, 3x32"),
      version<Spread, 4, kSpreadWeights, 4, 1>("4 bits spread, 4x16"),
      version<Spread, 4, kSpreadWeights, 5, 1>("4 bits spread, 5x16"),
      version<Spread, 4, kSpreadWeights, 6, 1>("4 bits spread, 6x16"),
      version<WidenEachStep, 4, kSpreadWeights, 4, 1>("4 bits spread, 4x16, widened at each step"),
      version<Bytes, 8, kPackedWeights, 1, 2, 2048>("8 bits, 1x32, shipped"),
      version<Bytes, 8, kPackedWeights, 1, 2>("8 bits, 1x32, nothing asked ahead"),
      version<Bytes, 8, kPackedWeights, 2, 1, 2048>("8 bits, 2x16"),
      version<Bytes, 8, kPackedWeights, 2, 1>("8 bits, 2x16, nothing asked ahead"),
      version<Bytes, 8, kPackedWeights, 2, 1, 4096>("8 bits, 2x16, 4 KiB ahead"),
      version<Bytes, 8, kPackedWeights, 2, 2, 2048>("8 bits, 2x32, shipped"),
      version<Bytes, 8, kPackedWeights, 3, 1, 2048>("8 bits, 3x16, shipped"),
      version<Bytes, 8, kPackedWeights, 4, 1, 2048>("8 bits, 4x16, shipped, for more rows too"),
      version<Bytes, 8, kPackedWeights, 4, 1>("8 bits, 4x16, nothing asked ahead"),
      version<Bytes, 8, kPackedWeights, 6, 1, 2048>("8 bits, 6x16"),
      version<BytesHeld, 8, kPackedWeights, 1, 2, 2048>("8 bits, 1x32, halves held"),
      version<BytesHeld, 8, kPackedWeights, 3, 1, 2048>("8 bits, 3x16, halves held"),
      version<BytesHeld, 8, kPackedWeights, 4, 1, 2048>("8 bits, 4x16, halves held"),
      version<SplitBytes, 8, kPackedWeights, 2, 1>("8 bits, 2x16, as two half bytes"),
      version<SplitBytes, 8, kPackedWeights, 3, 1>("8 bits, 3x16, as two half bytes"),
      version<SignedBytes, 8, kPackedWeights, 4, 1>("8 bits, 4x16, signs moved"),
  };
}
