import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/** An answer and its request. */
export interface Answered {
  method: string
  /** The path without a query. */
  path: string
  /** The pattern of the route, if known. */
  operationId?: string | undefined
  status: number
  headers: Readonly<Record<string, unknown>>
  body: string
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { responses: Record<string, Response> }
}

interface Operation {
  operationId: string
  responses: Record<string, Response | { $ref: string }>
}

interface Response {
  headers?: Record<string, { required?: boolean }>
  content?: Record<string, object>
}

/** The position of an operation in the document, as a JSON pointer. */
interface Found {
  operation: Operation
  at: string
}

/** Headers that must not be sent unless the document names them. */
const SPEAKING = ['allow', 'location', 'remote-session', 'remote-user', 'retry-after', 'set-cookie']

/** The document has it once, for every method. */
const BY_EVERY_METHOD = '/verify'

/** An OpenAPI document against which answers are checked. */
export class Contract {
  readonly #document: Document
  readonly #ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true })
  readonly #validators = new Map<string, ValidateFunction>()
  readonly #operations = new Map<string, Found>()
  readonly #paths: Array<{ pattern: RegExp, path: string }>

  constructor (document: unknown) {
    this.#document = document as Document
    // @ts-expect-error -- its types say that a module of CommonJS has its function under "default" only
    addFormats(this.#ajv)
    // The id lets schemas in the document be referenced.
    this.#ajv.addVocabulary(Object.keys(this.#document)).addSchema(this.#document, 'openapi')
    for (const [path, operations] of Object.entries(this.#document.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        this.#operations.set(operation.operationId, { operation, at: pointer('paths', path, method) })
      }
    }
    this.#paths = Object.keys(this.#document.paths)
      .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`) }))
  }

  /** Lists the flaws of an answer; empty if the document allows it. */
  flawsOf (answered: Answered): string[] {
    const found = this.#operations.get(answered.operationId ?? this.#operationIdOf(answered) ?? '')
    let flaws: string[]
    try {
      flaws = found === undefined ? this.#flawsOfOther(answered) : this.#flawsOfOperation(answered, found)
    } catch (error) {
      // For example a body that is not JSON. The check must not affect the answer.
      flaws = [String(error)]
    }
    return flaws.map((flaw) => `${answered.method} ${answered.path}: ${answered.status}: ${flaw}`)
  }

  #operationIdOf ({ method, path }: Answered): string | undefined {
    const known = this.#paths.find(({ pattern }) => pattern.test(path))?.path ?? ''
    const { [known]: operations = {} } = this.#document.paths
    const key = method === 'HEAD' || known === BY_EVERY_METHOD ? 'get' : method.toLowerCase()
    return operations[key]?.operationId
  }

  /** Where the document has no operation, hatcheck's only possible answer is a problem. */
  #flawsOfOther ({ status, headers, body }: Answered): string[] {
    if (mediaTypeOf(headers) !== 'application/problem+json' || body === '') return []
    const value = JSON.parse(body)
    if (value.status !== status) return [`the body says ${String(value.status)}`]
    return this.#flawsOfValue(pointer('components', 'schemas', 'HatcheckProblem'), value)
  }

  #flawsOfOperation ({ method, status, headers, body }: Answered, { operation, at }: Found): string[] {
    const { [status]: documented } = operation.responses
    if (documented === undefined) return [`the status is not in the OpenAPI document: ${body.slice(0, 300)}`]
    const isShared = '$ref' in documented
    const response = isShared ? this.#document.components.responses[documented.$ref.split('/').at(-1) ?? ''] as Response : documented
    const where = isShared ? documented.$ref.slice(1) : `${at}${pointer('responses', String(status))}`
    return [
      ...this.#flawsOfHeaders(headers, response, where),
      ...this.#flawsOfBody(method === 'HEAD', mediaTypeOf(headers), body, response, where)
    ]
  }

  #flawsOfHeaders (headers: Answered['headers'], { headers: documented = {} }: Response, where: string): string[] {
    const known = Object.keys(documented).map((name) => name.toLowerCase())
    return [
      ...SPEAKING.filter((name) => headers[name] !== undefined && !known.includes(name)).map((name) => `the header ${name} is not in the OpenAPI document`),
      ...Object.entries(documented).flatMap(([name, { required }]) => {
        const value = headers[name.toLowerCase()]
        if (value === undefined) return required === true ? [`the header ${name} is missing`] : []
        const at = `${where}${pointer('headers', name, 'schema')}`
        return [value].flat().flatMap((value) => this.#flawsOfValue(at, /^\d+$/.test(String(value)) ? Number(value) : value))
      })
    ]
  }

  #flawsOfBody (isHead: boolean, type: string | undefined, body: string, { content }: Response, where: string): string[] {
    if (content === undefined) return body === '' && type === undefined ? [] : ['a body that the OpenAPI document does not have']
    if (type === undefined || !Object.hasOwn(content, type)) return [`the content type ${type} is not in the OpenAPI document`]
    if (isHead) return []
    const value = type.endsWith('json') ? JSON.parse(body) : body
    return this.#flawsOfValue(`${where}${pointer('content', type, 'schema')}`, value)
  }

  #flawsOfValue (where: string, value: unknown): string[] {
    const validate = this.#validators.get(where) ?? this.#ajv.compile({ $ref: `openapi#${where}` })
    this.#validators.set(where, validate)
    if (validate(value)) return []
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}: ${JSON.stringify(value).slice(0, 300)}`)
  }
}

function mediaTypeOf (headers: Answered['headers']): string | undefined {
  const { 'content-type': type } = headers
  return type === undefined ? undefined : String(type).split(';', 1)[0]
}

function pointer (...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`).join('')
}
