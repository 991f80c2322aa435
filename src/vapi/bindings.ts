import { type DescMessage, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import {
  operation as operationOption,
  type RestRoute,
  service as serviceOption,
} from "../../gen/vapi/v1/options_pb.ts";
import { type Corridor, type Entry, type Operation, operationNameOf } from "../operations/corridor.ts";
import { type MessagePlan, planOf } from "./binder.ts";
import type { XmlRoot } from "./codecs/xml.ts";
import { encoderOf } from "./encoder.ts";
import type { Tree } from "./tree.ts";

/** An operation as the vAPI doors see it; everything comes from the descriptors' options. */
export interface Binding {
  /** For example `DownloadSession.KeepAlive`. */
  readonly name: string;
  /** For example `keep_alive`. */
  readonly operationId: string;
  readonly run: Entry;
  /** As of the operation: what goes on all day. */
  readonly isRoutine: boolean;
  /** As of the operation: its result is the identifier of a login session. */
  readonly isLogin: boolean;
  /** As of the operation: the login session of the call is closed. */
  readonly isLogout: boolean;
  readonly request: MessagePlan;
  /** Undefined: void. */
  readonly result: ((response: object) => Tree) | undefined;
  readonly routes: readonly Route[];
  readonly inputRoot: XmlRoot;
  readonly resultRoot: XmlRoot;
}

/** A route as its option tells it. */
export interface Route {
  readonly method: string;
  readonly path: string;
  /** "" for the route without an action. */
  readonly action: string;
  readonly status: number;
}

/** An option that contradicts itself or its messages; the service refuses to start. */
export class BindingError extends Error {
  override readonly name = "BindingError";
}

/**
 * The bindings of every operation that has the `vapi.v1.operation` option.
 *
 * @throws BindingError, UnsupportedFieldError
 */
export function bindingsOf(corridor: Corridor): Binding[] {
  return corridor.operations.unary
    .filter(({ method }) => hasOption(method, operationOption))
    .map((row) => bindingOf(row, corridor.entry(row)));
}

function bindingOf(row: Operation, run: Entry): Binding {
  const { method } = row;
  const service = serviceIdOf(method.parent);
  const option = getOption(method, operationOption);
  if (option.id === "") throw new BindingError(`${method} has no operation id`);
  const namespace = `http://vmware.com/${service.replace(/^com\.vmware\./, "").replaceAll(".", "/")}`;
  const xmlName = option.id.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return {
    name: operationNameOf(method),
    operationId: option.id,
    run,
    isRoutine: row.isRoutine ?? false,
    isLogin: row.isLogin ?? false,
    isLogout: row.isLogout ?? false,
    request: planOf(method.input),
    result: resultOf(method.output, option.result),
    routes: option.rest.map((route) => routeOf(route, `${method}`)),
    inputRoot: { name: `${xmlName}-Input`, namespace },
    resultRoot: { name: `${xmlName}-Result`, namespace },
  };
}

function serviceIdOf(service: DescService): string {
  const { id } = getOption(service, serviceOption);
  if (id === "") throw new BindingError(`${service} has operations, but no vapi.v1.service option`);
  return id;
}

function resultOf(output: DescMessage, name: string): Binding["result"] {
  if (name === "") return undefined;
  const field = output.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new BindingError(`${output} has no field '${name}' for a result`);
  const encode = encoderOf(field);
  return (response) => encode((response as Record<string, unknown>)[field.localName]);
}

function routeOf(route: RestRoute, owner: string): Route {
  const { case: method, value: path } = route.pattern;
  if (method === undefined) throw new BindingError(`${owner} has a route without a path`);
  return { method: method.toUpperCase(), path, action: route.action, status: route.status || 200 };
}
