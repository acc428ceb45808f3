import type { Op } from '../op.ts'
import { addLoraOp } from './add-lora.ts'
import { activateOp } from './activate.ts'
import { attentionOp } from './attention.ts'
import { combineExpertsOp } from './combine-experts.ts'
import { addOp, siluMulOp } from './elementwise.ts'
import { embeddingOp } from './embedding.ts'
import { expertLinearOp } from './expert-linear.ts'
import { kvWriteOp } from './kv-cache.ts'
import { layerNormOp } from './layer-norm.ts'
import { linearOp } from './linear.ts'
import { argmaxOp, logprobsOp } from './logprobs.ts'
import { quantizedExpertLinearOp } from './quantized-expert-linear.ts'
import { quantizedLinearOp } from './quantized-linear.ts'
import { rmsNormOp } from './rms-norm.ts'
import { ropeWriteOp } from './rope-write.ts'
import { ropeOp, ropeTableOp } from './rope.ts'
import { routeExpertsOp } from './route-experts.ts'
import { adjustLogitsOp, sampleOp } from './sample.ts'

/** Every op there is. Tests and benchmarks are generated from the list. */
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
  quantizedLinearOp,
  routeExpertsOp,
  expertLinearOp,
  quantizedExpertLinearOp,
  combineExpertsOp,
  ropeWriteOp,
  addLoraOp,
  layerNormOp,
  activateOp,
]
