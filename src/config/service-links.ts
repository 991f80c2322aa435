import { isIP } from "node:net";

/**
 * The variables of a container that describe a Service of Kubernetes: for one called `downlease` or `downlease-…` they
 * begin as our own do. A port has several of them (https://kubernetes.io/docs/concepts/services-networking/service/).
 */
const forms: readonly (readonly [name: RegExp, isValue: (value: string) => boolean])[] = [
  [/_SERVICE_HOST$/, isAddress],
  [/_SERVICE_PORT(_[A-Z0-9_]+)?$/, isPort],
  [/_PORT(_\d+_(TCP|UDP|SCTP))?$/, (value) => /^(tcp|udp|sctp):\/\/[^/]+:\d+$/.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, (value) => /^(tcp|udp|sctp)$/.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PORT$/, isPort],
  [/_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, isAddress],
];

/** Whether a variable was set by Kubernetes, by its name and the form of its value. */
export function isServiceLink(variable: string, value: string): boolean {
  return forms.some(([name, isValue]) => name.test(variable) && isValue(value));
}

function isAddress(value: string): boolean {
  return isIP(value) !== 0;
}

function isPort(value: string): boolean {
  return /^\d{1,5}$/.test(value);
}
