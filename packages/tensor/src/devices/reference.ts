import { Device, type Backend } from '../device.ts'
import type { Program } from '../program.ts'
import { version } from '../version.ts'
import { View } from '../view.ts'
import type { Storage, Tensor } from '../tensor.ts'

interface Bytes extends Storage {
  readonly bytes: Uint8Array
}

/** Interprets a program with the ops' own reference kernels. Slow and exact: it decides what is right. */
class ReferenceBackend implements Backend {
  readonly name = 'reference'
  readonly kernels = `reference ${version}`

  allocate(byteLength: number): Bytes {
    return { byteLength, bytes: new Uint8Array(byteLength) }
  }

  write(storage: Storage, bytes: Uint8Array, byteOffset = 0): void {
    ;(storage as Bytes).bytes.set(bytes, byteOffset)
  }

  read(storage: Storage, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    return Promise.resolve((storage as Bytes).bytes.slice(byteOffset, byteOffset + byteLength))
  }

  supports(): boolean {
    return true
  }

  run(program: Program, seconds?: Float64Array): Promise<void> {
    const arena = new Uint8Array(program.arenaBytes)
    const view = (tensor: Tensor): View => {
      const storage = tensor.base.storage as Bytes | undefined
      const bytes = storage?.bytes ?? arena.subarray(program.placement.get(tensor.base))
      return View.over(tensor, bytes, tensor.offset, tensor.rowStride)
    }
    for (const [i, { op, inputs, outputs, attributes }] of program.steps.entries()) {
      const start = performance.now()
      op.reference(
        inputs.map((tensor) => tensor && view(tensor)),
        outputs.map(view),
        attributes,
      )
      if (seconds) seconds[i] = (performance.now() - start) / 1000
    }
    return Promise.resolve()
  }

  close(): void {}
}

export function referenceDevice(): Device {
  return new Device(new ReferenceBackend())
}
