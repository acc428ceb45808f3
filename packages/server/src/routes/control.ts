import { z } from 'zod'
import {
  abortSchema,
  getState,
  nothingSchema,
  pauseSchema,
  postAbortRequests,
  postPause,
  postResetPrefixCache,
  postResume,
  postSleep,
  postUpdateWeights,
  postWakeUp,
  sleepSchema,
  wakeSchema,
  weightsSchema,
} from '../control.ts'
import { route, type Route } from '../route.ts'

const status = z.literal('success')
const state = z
  .strictObject({ status, is_paused: z.boolean(), is_sleeping: z.boolean() })
  .meta({ title: 'EngineState' })
const done = z.strictObject({ status })
const updated = z.strictObject({ status, weights: z.string().nullable().describe('names the weights now in use') })
const aborted = z.strictObject({ status, aborted: z.array(z.string()).describe('ids of their answers') })

const question = { method: 'GET', tag: 'control', access: 'admin', needs: 'model' } as const
const command = { ...question, method: 'POST', isCommand: true, errors: [409] } as const
const toState = { 200: { description: 'the state now', json: state } }

/** Control of the engine, named as at vLLM. These routes exist only where there is an admin key. */
export const controlRoutes: readonly Route[] = [
  route({
    ...command,
    path: '/pause',
    summary: 'New requests wait; those under way end or are frozen',
    body: pauseSchema,
    answers: toState,
    handler: postPause,
  }),
  route({
    ...command,
    path: '/resume',
    summary: 'Goes on after a pause',
    body: nothingSchema,
    answers: toState,
    handler: postResume,
  }),
  route({ ...question, path: '/is_paused', summary: 'The state of the engine', answers: toState, handler: getState }),
  route({
    ...command,
    path: '/sleep',
    summary: 'Gives the memory of weights, keys and values back',
    body: sleepSchema,
    answers: toState,
    handler: postSleep,
  }),
  route({
    ...command,
    path: '/wake_up',
    summary: 'Takes the memory again',
    body: wakeSchema,
    answers: toState,
    handler: postWakeUp,
  }),
  route({ ...question, path: '/is_sleeping', summary: 'The state of the engine', answers: toState, handler: getState }),
  route({
    ...command,
    path: '/update_weights',
    summary: "Takes the weights in a directory; by default in the model's own again",
    body: weightsSchema,
    answers: { 200: { description: 'they are in use', json: updated } },
    handler: postUpdateWeights,
  }),
  route({
    ...command,
    path: '/abort_requests',
    summary: 'Ends requests, by the id of their answer or by their x-request-id',
    body: abortSchema,
    answers: { 200: { description: 'what was ended', json: aborted } },
    handler: postAbortRequests,
  }),
  route({
    ...command,
    path: '/reset_prefix_cache',
    summary: 'Forgets cached prefixes in memory',
    body: nothingSchema,
    answers: { 200: { description: 'done', json: done } },
    handler: postResetPrefixCache,
  }),
]
