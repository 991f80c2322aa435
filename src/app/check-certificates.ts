import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Config } from "../config/settings.ts";
import { type Finding, ok, warning, wrong } from "../domain/finding.ts";
import { openTls } from "./parts.ts";

const dayMs = 86_400_000;
const soonMs = 30 * dayMs;

/** What is wrong with the certificates of the configuration. @throws StartError when they can't be used at all */
export async function certificateFindings(config: Config): Promise<Finding[]> {
  const { tls, mtls, redis, publicUrl } = config;
  const findings: Finding[] = [];
  if (tls === undefined) findings.push(ok("tls", "the service speaks clear text"));
  else {
    await openTls(config);
    findings.push(...(await chainFindings(tls.cert, publicUrl)));
  }
  if (mtls !== undefined) findings.push(...(await authorityFindings("--mtls-ca", mtls.ca)));
  if (redis.ca !== undefined) findings.push(...(await authorityFindings("--redis-ca", redis.ca)));
  if (redis.cert !== undefined) findings.push(...(await chainFindings(redis.cert)));
  return findings;
}

/** @param publicUrl of links, whose host the certificate should have */
async function chainFindings(path: string, publicUrl?: string): Promise<Finding[]> {
  const [leaf, ...others] = await certificatesIn(path);
  if (leaf === undefined) return [wrong("tls", `${path} has no certificate`)];
  const names = leaf.subjectAltName ?? leaf.subject.replaceAll("\n", ", ");
  const findings = [validity(path, leaf) ?? ok("tls", `${path} is for ${names}, until ${dayOf(leaf)}`)];
  findings.push(...others.flatMap((each) => validity(`an authority in ${path}`, each) ?? []));
  const host = publicUrl === undefined ? undefined : new URL(publicUrl).hostname.replace(/^\[|\]$/g, "");
  if (host !== undefined && !isFor(leaf, host)) {
    findings.push(warning("tls", `${path} is not for ${host}, the host in --public-url, but for ${names}`));
  }
  return findings;
}

/** Expired authorities are of no use, but do no harm while there is another one. */
async function authorityFindings(setting: string, path: string): Promise<Finding[]> {
  const authorities = await certificatesIn(path);
  const problems = authorities.flatMap((each) => validity(`an authority in ${path}`, each) ?? []);
  if (authorities.length === 0) return [wrong("tls", `${path} (${setting}) has no certificate`)];
  if (problems.length === 0) return [ok("tls", `authorities in ${path} (${setting}): ${authorities.length}`)];
  const isUsable = authorities.some((each) => validity("", each)?.status !== "wrong");
  return problems.map((problem) => (isUsable ? { ...problem, status: "warning" } : problem));
}

/** What is wrong with the time of a certificate; undefined when it is valid for a month or more. */
function validity(what: string, { validFromDate, validToDate }: X509Certificate): Finding | undefined {
  const now = Date.now();
  if (validFromDate.getTime() > now) {
    return wrong(
      "tls",
      `${what} is not valid before ${validFromDate.toISOString()}: is the clock of this machine right?`,
    );
  }
  const leftMs = validToDate.getTime() - now;
  if (leftMs <= 0) return wrong("tls", `${what} has expired on ${validToDate.toISOString()}: renew it`);
  if (leftMs < soonMs)
    return warning("tls", `${what} expires in ${Math.floor(leftMs / dayMs)} days: renew it`);
  return undefined;
}

function dayOf({ validToDate }: X509Certificate): string {
  return validToDate.toISOString().slice(0, 10);
}

function isFor(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)) !== undefined;
}

async function certificatesIn(path: string): Promise<X509Certificate[]> {
  const pem = await readFile(path, "latin1");
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}
