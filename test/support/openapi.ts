import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { type OperationRow, operationRows } from "../../docs/operations.ts";
import { templateOf } from "../../src/protocols/vapi/operation-options.ts";

export interface DescribedParameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly schema: object;
  readonly example?: unknown;
}

export interface DescribedMedia {
  readonly schema: object;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

export interface DescribedResponse {
  readonly content?: Readonly<Record<string, DescribedMedia>>;
  readonly headers?: Readonly<Record<string, object>>;
}

export interface DescribedOperation {
  readonly operationId: string;
  readonly security?: readonly object[];
  readonly parameters: readonly DescribedParameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, DescribedMedia>> };
  readonly responses: Readonly<Record<string, DescribedResponse | { readonly $ref: string }>>;
}

/** The document as it is served. */
export const openApi: {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>;
  readonly components: { readonly responses: Readonly<Record<string, DescribedResponse>> };
} = JSON.parse(readFileSync(new URL("../../gen/openapi.json", import.meta.url), "utf8"));

/** A way to call an operation on `/api`. */
export type ApiRow = OperationRow & { readonly protocol: "REST" };

export function apiRows(): ApiRow[] {
  return operationRows().flatMap((row) =>
    row.protocol === "REST" && row.dialect.routes === "api" ? [row] : [],
  );
}

/** The operation of the document that describes a row. */
export function describedOperation({ route }: ApiRow): DescribedOperation {
  const path = `/api${templateOf(route)}${route.action && `?action=${route.action}`}`;
  const operation = openApi.paths[path]?.[route.method.toLowerCase()];
  if (operation === undefined) throw new Error(`${route.method} ${path} is not described`);
  return operation;
}

export function describedResponse(operation: DescribedOperation, status: number): DescribedResponse {
  const response = operation.responses[status];
  if (response === undefined) throw new Error(`${operation.operationId} does not describe ${status}`);
  return "$ref" in response ? openApi.components.responses[response.$ref.split("/").at(-1)!]! : response;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema(openApi, "openapi");
const validators = new WeakMap<object, ValidateFunction>();

/** What is wrong with a value, by a schema of the document; empty when nothing is. */
export function faultsOf(schema: object, value: unknown): string {
  let validate = validators.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(
      JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')),
    );
    validators.set(schema, validate);
  }
  return validate(value) ? "" : ajv.errorsText(validate.errors);
}

/**
 * What an answer has that the document does not say; empty when it is described.
 *
 * @param type its Content-Type, null without a body
 */
export function surprisesIn(
  row: ApiRow,
  { status, type, text }: { readonly status: number; readonly type: string | null; readonly text: string },
): string {
  const { content } = describedResponse(describedOperation(row), status);
  if (type === null) return content === undefined ? "" : "there is no body";
  const media = content?.[type];
  return media === undefined ? `there is no ${type}` : faultsOf(media.schema, JSON.parse(text));
}
