import { type DescMessage, getOption } from "@bufbuild/protobuf";
import { type OperationRow, placementOn } from "../../docs/operations.ts";
import { field as fieldOption, structure as structureOption } from "../../gen/vapi/v1/options_pb.ts";
import { templateOf } from "../../src/protocols/vapi/operation-options.ts";

/** A request in vAPI's names, for any protocol. */
export interface OperationInput {
  readonly [name: string]: OperationInput | string | number | boolean | readonly string[];
}

/** Whether a value of an input has members of its own. */
export function hasMembers(value: OperationInput[string]): value is OperationInput {
  return typeof value === "object" && !Array.isArray(value);
}

/** An HTTP request to be sent as it is. */
export interface HttpCall {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

const json = { "content-type": "application/json" };

/** The requests that a row of the table stands for: one for each prefix. */
export function callsOf(row: OperationRow, input: OperationInput): HttpCall[] {
  switch (row.protocol) {
    case "REST":
      return row.dialect.prefixes.map((prefix) => restCall(row, prefix, input));
    case "JSON-RPC": {
      const { serviceId, operationId } = row.options;
      const operationInput = dataValue(row.method.input, input, "operation-input");
      const params = { serviceId, operationId, input: operationInput, ctx: {} };
      const body = JSON.stringify({ jsonrpc: "2.0", method: "invoke", id: "1", params });
      return [{ method: "POST", path: "/api", headers: json, body }];
    }
    case "RPC":
      return [
        {
          method: "POST",
          path: `/${row.method.parent.typeName}/${row.method.name}`,
          headers: json,
          body: JSON.stringify(input),
        },
      ];
  }
}

function restCall(row: OperationRow & { protocol: "REST" }, prefix: string, input: OperationInput): HttpCall {
  const { route, dialect, method } = row;
  const placement = placementOn(route, method);
  const path = templateOf(route).replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(input[name])),
  );
  const query = new URLSearchParams();
  if (route.action !== "") query.set(dialect.actionParameter, route.action);
  for (const name of placement.query) {
    if (input[name] !== undefined) query.set(name, String(input[name]));
  }
  const headers = placement.headers
    .filter(({ field }) => input[field] !== undefined)
    .map(({ name, field }) => [name, String(input[field])]);
  const body =
    typeof placement.body === "string"
      ? input[placement.body]
      : Object.fromEntries(placement.body.map((name) => [name, input[name]]));
  const hasBody = typeof placement.body === "string" || placement.body.length > 0;
  return {
    method: route.method,
    path: `${prefix}${path}${query.size > 0 ? `?${query}` : ""}`,
    headers: { ...Object.fromEntries(headers), ...(hasBody && json) },
    ...(hasBody && { body: JSON.stringify(body) }),
  };
}

/** A structure as JSON-RPC writes it. Fields without a value are left out, which means unset. */
function dataValue(desc: DescMessage, input: OperationInput, name: string): object {
  const members = desc.fields
    .filter((field) => input[field.name] !== undefined)
    .map((field) => {
      const parameter = input[field.name]!;
      const isStructure = field.fieldKind === "message" && hasMembers(parameter);
      const value = isStructure
        ? dataValue(field.message, parameter, getOption(field.message, structureOption).id)
        : parameter;
      const isOptional = field.proto.proto3Optional || getOption(field, fieldOption).optional;
      return [field.name, isOptional ? { OPTIONAL: value } : value];
    });
  return { STRUCTURE: { [name]: Object.fromEntries(members) } };
}
