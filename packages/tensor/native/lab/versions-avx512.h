// AVX-512 VNNI. Included by versions.h.

// The intrinsic instead of assembly: gcc 12 copies every sum in every step (24 moves beside 12 products).
struct Intrinsics {
  static constexpr int kStepK = 4, kQuad = 4, kOffset = 0;
  template <int M, int C, int>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 4 * M) {
      __m512i weights[C];
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) weights[c] = _mm512_loadu_si512(w + 64 * c);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        __m512i quad = spreadQuad(q + 4 * m);
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) sums[m][c].v = _mm512_dpbusd_epi32(sums[m][c].v, weights[c], quad);
      }
    }
  }
};

// The quad as a broadcast memory operand: a load for every product, no register for it.
struct MemoryQuads {
  static constexpr int kStepK = 4, kQuad = 4, kOffset = 0;
  template <int M, int C, int>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 4 * M) {
      __m512i weights[C];
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) weights[c] = _mm512_loadu_si512(w + 64 * c);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) {
#if defined(__AVX512VNNI__)
          asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums[m][c].v) : "v"(weights[c]), "m"(*(const int32_t*)(q + 4 * m)));
#else
          sums[m][c].v = _mm512_dpbusd_epi32(sums[m][c].v, weights[c], spreadQuad(q + 4 * m));
#endif
        }
      }
    }
  }
};

inline std::vector<Version> versions() {
  using Nibbles = Shipped<Form::kNibbles>;
  using Bytes = Shipped<Form::kBytes>;
  return {
      version<Nibbles, 4, kPackedWeights, 1, 2, kStreamAhead<1>>("4 bits, 1x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 1, 2>("4 bits, 1x32, nothing asked ahead"),
      version<Nibbles, 4, kPackedWeights, 1, 2, 2048>("4 bits, 1x32, 2 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 1, 2, 4096>("4 bits, 1x32, 4 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 1, 2, 12288>("4 bits, 1x32, 12 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 2, 2, kStreamAhead<2>>("4 bits, 2x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 2, 2, 2048>("4 bits, 2x32, 2 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 3, 2, kStreamAhead<3>>("4 bits, 3x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 4, 2, kStreamAhead<4>>("4 bits, 4x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 4, 2>("4 bits, 4x32, nothing asked ahead"),
      version<Nibbles, 4, kPackedWeights, 4, 2, 2048>("4 bits, 4x32, 2 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 4, 2, 4096>("4 bits, 4x32, 4 KiB ahead"),
      version<Nibbles, 4, kPackedWeights, 5, 2, kStreamAhead<5>>("4 bits, 5x32, shipped"),
      version<Nibbles, 4, kPackedWeights, 6, 2, kStreamAhead<6>>("4 bits, 6x32, shipped for up to two tiles"),
      version<Bytes, 4, kSpreadWeights, 4, 2>("4 bits spread, 4x32"),
      version<Bytes, 4, kSpreadWeights, 6, 2>("4 bits spread, 6x32, shipped for more tiles"),
      version<Bytes, 4, kSpreadWeights, 8, 2>("4 bits spread, 8x32"),
      version<Bytes, 4, kSpreadWeights, 12, 2>("4 bits spread, 12x32"),
      version<Bytes, 4, kSpreadWeights, 12, 1>("4 bits spread, 12x16"),
      version<Intrinsics, 4, kSpreadWeights, 6, 2>("4 bits spread, 6x32, intrinsics"),
      version<MemoryQuads, 4, kSpreadWeights, 6, 2>("4 bits spread, 6x32, quads from memory"),
      version<Bytes, 8, kPackedWeights, 1, 2, kStreamAhead<1>>("8 bits, 1x32, shipped"),
      version<Bytes, 8, kPackedWeights, 1, 2>("8 bits, 1x32, nothing asked ahead"),
      version<Bytes, 8, kPackedWeights, 1, 2, 2048>("8 bits, 1x32, 2 KiB ahead"),
      version<Bytes, 8, kPackedWeights, 2, 2, kStreamAhead<2>>("8 bits, 2x32, shipped"),
      version<Bytes, 8, kPackedWeights, 3, 2, kStreamAhead<3>>("8 bits, 3x32, shipped"),
      version<Bytes, 8, kPackedWeights, 4, 2, kStreamAhead<4>>("8 bits, 4x32, shipped"),
      version<Bytes, 8, kPackedWeights, 4, 2>("8 bits, 4x32, nothing asked ahead"),
      version<Bytes, 8, kPackedWeights, 4, 2, 2048>("8 bits, 4x32, 2 KiB ahead"),
      version<Bytes, 8, kPackedWeights, 6, 2, kStreamAhead<6>>("8 bits, 6x32, shipped, for more rows too"),
  };
}
