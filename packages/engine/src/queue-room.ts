import { SlipwayError } from '@slipway/tensor'
import type { EngineClient } from './client.ts'
import type { ResolvedEngineOptions } from './options.ts'

type Bounds = Pick<ResolvedEngineOptions, 'maxNumSeqs' | 'maxWaitingRequests' | 'maxWaitingPerUser'>

/** Most requests of one user that may wait; by default half of the queue. */
export function maxWaitingPerUser({ maxWaitingRequests, maxWaitingPerUser }: Bounds): number {
  return maxWaitingPerUser ?? Math.ceil(maxWaitingRequests / 2)
}

/** Throws `overload` when too many requests wait, or too many of one user, who must not fill the queue for all. */
export function requireRoom(client: EngineClient, user: string, bounds: Bounds): void {
  const { maxNumSeqs, maxWaitingRequests } = bounds
  const own = client.numRequestsOf(user)
  const retryAfter = client.secondsPerRequest
  if (client.numRequests >= maxNumSeqs + maxWaitingRequests)
    throw new SlipwayError('overload', `${client.numRequests} requests are under way; try again later`, { retryAfter })
  if (own < maxNumSeqs + maxWaitingPerUser(bounds)) return
  const whose = user === '' ? 'without a user' : `of user ${JSON.stringify(user)}`
  throw new SlipwayError('overload', `${own} requests ${whose} are under way, as many as may be; try again later`, {
    retryAfter,
    param: 'user',
  })
}
