// The messages of proto/open_inference_grpc.proto as they are read and written; what was not sent is empty.

export interface InferParameter {
  readonly bool_param?: boolean
  readonly int64_param?: number
  readonly string_param?: string
  readonly double_param?: number
  readonly uint64_param?: number
}

export type InferParameters = Readonly<Record<string, InferParameter>>

export interface TensorContents {
  readonly bool_contents?: readonly boolean[]
  readonly int_contents?: readonly number[]
  readonly int64_contents?: readonly number[]
  readonly uint_contents?: readonly number[]
  readonly uint64_contents?: readonly number[]
  readonly fp32_contents?: readonly number[]
  readonly fp64_contents?: readonly number[]
  readonly bytes_contents?: readonly Buffer[]
}

export interface TensorMetadata {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

export interface InputTensor extends TensorMetadata {
  readonly parameters: InferParameters
  readonly contents: TensorContents | null
}

export interface OutputTensor extends TensorMetadata {
  readonly contents?: TensorContents
}

export interface ModelInferRequest {
  readonly model_name: string
  readonly model_version: string
  readonly id: string
  readonly parameters: InferParameters
  readonly inputs: readonly InputTensor[]
  readonly outputs: readonly { readonly name: string; readonly parameters: InferParameters }[]
  readonly raw_input_contents: readonly Buffer[]
}

export interface ModelInferResponse {
  readonly model_name: string
  readonly model_version: string
  readonly id: string
  readonly parameters?: InferParameters
  readonly outputs?: readonly OutputTensor[]
  readonly raw_output_contents?: readonly Buffer[]
}

export interface ModelStreamInferResponse {
  readonly error_message?: string
  readonly infer_response: ModelInferResponse
}

export interface ModelRequest {
  readonly name: string
  readonly version: string
}
