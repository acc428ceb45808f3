import type { Op } from '../op.ts'
import { attentionOp, kvWriteOp } from './attention.ts'
import { addOp, siluMulOp } from './elementwise.ts'
import { embeddingOp } from './embedding.ts'
import { linearOp } from './linear.ts'
import { rmsNormOp } from './rms-norm.ts'
import { ropeOp, ropeTableOp } from './rope.ts'
import { adjustLogitsOp, argmaxOp, logprobsOp, sampleOp } from './sample.ts'

/** Every op there is. Its place in the list is its code in the cpu device's command buffer (native/command.h). */
export const ops: readonly Op[] = [
  embeddingOp,
  rmsNormOp,
  linearOp,
  ropeTableOp,
  ropeOp,
  kvWriteOp,
  attentionOp,
  siluMulOp,
  addOp,
  adjustLogitsOp,
  sampleOp,
  argmaxOp,
  logprobsOp,
]
