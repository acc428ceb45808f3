/**
 * How a thread of ours is to start where the program came as a text (`node --input-type=module -e "…"`): threads take over the
 * flags of the process, and `--input-type` keeps one from loading a file. Our files need no flags.
 */
export function workerFlags(flags: readonly string[] = process.execArgv): { readonly execArgv?: string[] } {
  return flags.some((flag) => flag.split('=')[0] === '--input-type') ? { execArgv: [] } : {}
}
