import { request, type Agent } from 'node:http'
import type { FuzzRequest } from './requests.ts'

export interface Exchange {
  readonly status: number
  readonly type: string
  readonly text: string
  /** Whether a stream without end was left. */
  readonly isLeft: boolean
}

/** Sends one request over a socket; fails after `limit` milliseconds. A stream that nobody ends is left after an event. */
export function exchange(url: string, agent: Agent, asked: FuzzRequest, limit: number): Promise<Exchange> {
  const { method, path, headers, body, template } = asked
  const isEndless = method === 'GET' && template.endsWith('/events')
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const outgoing = request(
      { hostname, port, method, path, agent, headers: { ...headers, 'content-length': body?.byteLength ?? 0 } },
      (response) => {
        const { statusCode: status = 0, headers } = response
        const type = (headers['content-type'] ?? '').split(';')[0]!.trim()
        let text = ''
        const end = (isLeft: boolean): void => {
          clearTimeout(timer)
          resolve({ status, type, text, isLeft })
        }
        response.setEncoding('utf8')
        response.on('data', (piece: string) => {
          text += piece
          if (!isEndless || type !== 'text/event-stream' || !text.endsWith('\n\n')) return
          end(true)
          response.destroy()
        })
        response.on('end', () => end(false))
        response.on('error', reject)
      },
    )
    const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${limit} ms`)), limit)
    outgoing.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    outgoing.end(body)
  })
}
