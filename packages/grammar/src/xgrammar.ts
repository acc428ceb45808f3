import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import { SlipwayError } from '@slipway/tensor'

// @mlc-ai/web-xgrammar is CommonJS inside a package that calls itself ESM, so neither import nor require loads it.
// We compile its text as the CommonJS it is, with our own `WebAssembly` in its scope: so the module is compiled once,
// and every instance has a bound on its memory. Its classes are asynchronous wrappers; we use the bindings beneath.

const require = createRequire(import.meta.url)
const seam = 'exports.default = index;'

/** A C++ object; `delete` frees it. */
interface Handle {
  delete(): void
}
export interface MatcherHandle extends Handle {
  AcceptToken(id: number, verbose: boolean): boolean
  AcceptString(text: string, verbose: boolean): boolean
  GetNextTokenBitmask(vocabSize: number): Handle
  IsTerminated(): boolean
  Rollback(count: number): void
}
interface CompilerHandle extends Handle {
  CompileGrammar(grammar: Handle): Handle
  CompileStructuralTag(json: string): Handle
}

/** What we use of the bindings; names are xgrammar's. */
export interface Bindings {
  readonly Grammar: { FromEBNF(text: string, root: string): Handle; FromStructuralTag(json: string): Handle }
  readonly TokenizerInfo: new (tokens: Handle, type: string, size: number, stops: Handle, prefix: boolean) => Handle
  readonly GrammarCompiler: new (tokenizer: Handle, threads: number, cache: boolean) => CompilerHandle
  readonly GrammarMatcher: new (
    grammar: Handle,
    stops: Handle | undefined,
    endsWithoutStop: boolean,
    rollback: number,
  ) => MatcherHandle
  readonly VectorString: new () => Handle & { push_back(value: Uint8Array | string): void }
  vecIntFromJSArray(values: readonly number[]): Handle
  vecIntToView(vector: Handle): Int32Array
}

export type { CompilerHandle, Handle }

/** An instance of xgrammar with its own memory. */
export interface Xgrammar {
  readonly bindings: Bindings
  /** What it printed since this was last called: its only way to say what is wrong. */
  readonly takeLog: () => string
  readonly memoryBytes: () => number
}

interface WasmMemory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}
interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>
}
/** The part of the standard that we use; the types of Node leave it to those of browsers. */
interface Wasm {
  readonly RuntimeError: unknown
  readonly Memory: abstract new () => WasmMemory
  compile(bytes: Uint8Array): Promise<object>
  instantiate(module: object, imports: object): Promise<WasmInstance>
}
const wasm = (globalThis as unknown as { readonly WebAssembly: Wasm }).WebAssembly

let compiled: Promise<object> | undefined

/** Starts an instance whose memory never grows beyond `memoryLimit` bytes. */
export async function openXgrammar(memoryLimit: number): Promise<Xgrammar> {
  const file = require.resolve('@mlc-ai/web-xgrammar')
  const text = readFileSync(file, 'utf8')
  if (!text.includes(seam))
    throw new SlipwayError(
      'internal',
      `${file}: is not the version of @mlc-ai/web-xgrammar that this package was made for`,
    )
  let memory: WasmMemory | undefined
  const guarded = {
    RuntimeError: wasm.RuntimeError,
    async instantiate(bytes: Uint8Array, imports: object) {
      const module = await (compiled ??= wasm.compile(bytes))
      const instance = await wasm.instantiate(module, imports)
      memory = Object.values(instance.exports).find((value) => value instanceof wasm.Memory)!
      const { buffer } = memory
      const grow = memory.grow.bind(memory)
      let size = buffer.byteLength
      memory.grow = (pages) => {
        if (size + pages * 65536 > memoryLimit) throw new RangeError('memory limit')
        size += pages * 65536
        return grow(pages)
      }
      return { module, instance }
    },
  }
  const exports: { createModule?: (options: object) => Promise<Bindings> } = {}
  // without `process` it takes no notice of Node and needs no dynamic import
  const names = ['exports', 'module', 'require', '__filename', 'WebAssembly', 'process']
  const load = compileFunction(text.replace(seam, 'exports.createModule = Module;'), names, { filename: file })
  load(exports, { exports }, require, file, guarded, undefined)
  const log: string[] = []
  const print = (line: string): void => void (log.length < 100 && log.push(line))
  const bindings = await exports.createModule!({ print, printErr: print })
  return {
    bindings,
    takeLog: () => log.splice(0).join('\n'),
    memoryBytes: () => memory!.buffer.byteLength,
  }
}
