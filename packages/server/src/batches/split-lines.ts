/** One line of a file. */
export interface SplitLine {
  /** Without its end; undefined if it is longer than may be. */
  readonly bytes: Buffer | undefined
  /** Where the next line begins, in bytes. */
  readonly end: number
  /** The file ends before the line does. */
  readonly isTorn: boolean
}

/** The lines of a file, of which never more than a chunk and one line is held. */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<SplitLine> {
  let pieces: Uint8Array[] = []
  let length = 0
  let end = 0
  const add = (piece: Uint8Array): void => {
    length += piece.length
    if (length <= maxBytes) pieces.push(piece)
    else pieces = []
  }
  const line = (isTorn: boolean): SplitLine => {
    end += length + (isTorn ? 0 : 1)
    const bytes = length <= maxBytes ? Buffer.concat(pieces) : undefined
    pieces = []
    length = 0
    return { bytes, end, isTorn }
  }
  for await (const chunk of chunks) {
    let start = 0
    for (let stop = chunk.indexOf(10); stop >= 0; stop = chunk.indexOf(10, start)) {
      add(chunk.subarray(start, stop))
      yield line(false)
      start = stop + 1
    }
    add(chunk.subarray(start))
  }
  if (length > 0) yield line(true)
}
