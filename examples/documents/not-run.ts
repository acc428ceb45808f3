/**
 * What stands in the documents and is not run by the tests, with the reason. A command that is not here is run, or one
 * test fails; a line here that no document needs any more makes another fail.
 */
export const notRun: readonly { readonly begins: string; readonly reason: string }[] = [
  { begins: 'npm ci', reason: 'needs the network; the tests run in what it has installed' },
  { begins: 'npm run build', reason: 'the tests run in what it has built' },
  { begins: 'npm start', reason: 'builds, then is "slipway serve", whose flags are checked' },
  { begins: 'npm --prefix bench install', reason: 'needs the network' },
  { begins: 'node bench/', reason: 'takes minutes and gigabytes; the file and its flags are checked' },
  { begins: 'pip install', reason: 'needs the network' },
  { begins: 'python tools/', reason: 'needs packages of Python, some of it hours; that the file is there is checked' },
]
