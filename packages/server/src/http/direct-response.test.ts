import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { DirectResponse, jsonResponse } from './direct-response.ts'

test('it is a response: read, copied and with headers set later', async () => {
  const response = jsonResponse({ a: 'é' })
  expect(response).toBeInstanceOf(Response)
  response.headers.set('x-request-id', '7')
  const copy = response.clone()
  expect(copy.headers.get('x-request-id')).toBe('7')
  expect(response.bodyUsed).toBe(false)
  expect(await response.json()).toEqual({ a: 'é' })
  expect(response.bodyUsed).toBe(true)
  await expect(response.text()).rejects.toThrow()
  expect(await copy.text()).toBe('{"a":"é"}')
  // as middleware makes one anew
  const again = jsonResponse([1])
  expect(await new Response(again.body, again).text()).toBe('[1]')
  expect(await jsonResponse(1).arrayBuffer()).toEqual(new Uint8Array([49]).buffer)
  expect(await jsonResponse(1).blob()).toMatchObject({ size: 1, type: 'application/json' })
})

test('it writes itself to a socket with the length that it has', async () => {
  const server = createServer((_, outgoing) => jsonResponse({ a: 'é' }).send(outgoing))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('content-length')).toBe('10')
  expect(await response.json()).toEqual({ a: 'é' })
  server.close()
})

test('a form is read as one', async () => {
  const form = new DirectResponse(
    { toBody: () => 'a=1', writeTo: (outgoing) => outgoing.end('a=1') },
    { headers: { 'content-type': 'application/x-www-form-urlencoded' } },
  )
  expect((await form.formData()).get('a')).toBe('1')
})
