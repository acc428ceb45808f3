export { build } from './roberta.ts'
