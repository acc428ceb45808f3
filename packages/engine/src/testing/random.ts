/** A small generator (Lehmer), so that a failing run can be repeated: integers from 0 to n - 1. */
export function randomIntegers(seed: number): (n: number) => number {
  let state = seed * 2 + 1
  return (n) => {
    state = Number((BigInt(state) * 48271n) % 2147483647n)
    return state % n
  }
}

/** Repetitions of a randomised test: a number from the environment, or fewer in the suite. */
export function repetitions(variable: string, usual: number): number {
  const given = Number(process.env[variable])
  return Number.isInteger(given) && given > 0 ? given : usual
}
