// @ts-check
// HTTP as cheap as it can be had: it shares the machine with the server it asks, and is not what is measured.
import { connect } from 'node:net'

/**
 * A request as it goes over the wire.
 *
 * @param {URL} url
 * @param {string} path
 * @param {object} body
 * @param {string} [key]
 */
export function requestBytes(url, path, body, key) {
  const text = JSON.stringify(body)
  const authorization = key === undefined ? '' : `authorization: Bearer ${key}\r\n`
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n${authorization}` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
}

/**
 * Sends a request over and over on connections that are kept, each when the last one was answered, until `until`.
 *
 * @param {URL} url
 * @param {Buffer} bytes
 * @param {number} numConnections
 * @param {number} until by performance.now()
 * @returns {Promise<number>} answers
 */
export async function repeat(url, bytes, numConnections, until) {
  let numAnswers = 0
  const one = () =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(url.port), url.hostname, () => socket.write(bytes))
      socket.setNoDelay(true)
      let held = ''
      socket.on('error', reject)
      socket.on('close', resolve)
      socket.setEncoding('latin1')
      socket.on('data', (/** @type {string} */ data) => {
        held += data
        if (!isWhole(held)) return
        if (!held.startsWith('HTTP/1.1 200 ')) return void socket.destroy(new Error(held.slice(0, 500)))
        numAnswers++
        held = ''
        if (performance.now() < until) socket.write(bytes)
        else socket.end()
      })
    })
  await Promise.all(Array.from({ length: numConnections }, one))
  return numAnswers
}

/** Whether one answer is there to its end. @param {string} text */
function isWhole(text) {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end + 2))
  return length ? text.length >= end + 4 + Number(length[1]) : text.endsWith('\r\n0\r\n\r\n')
}

/**
 * Reads streams of server-sent events, each asked for again when it has ended.
 *
 * @param {URL} url
 * @param {Buffer} bytes
 * @param {number} numStreams
 */
export function readStreams(url, bytes, numStreams) {
  let numEvents = 0
  const sockets = Array.from({ length: numStreams }, () => {
    const socket = connect(Number(url.port), url.hostname, () => socket.write(bytes))
    socket.setEncoding('latin1')
    socket.on('data', (/** @type {string} */ data) => {
      for (let at = data.indexOf('data: '); at >= 0; at = data.indexOf('data: ', at + 6)) numEvents++
      if (data.includes('data: [DONE]')) socket.write(bytes)
    })
    return socket
  })
  return {
    numEvents: () => numEvents,
    close: () => sockets.forEach((socket) => void socket.destroy()),
  }
}
