import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Certificate {
  /** Path of the PEM file. */
  readonly path: string;
  readonly keyPath: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface CertificateRequest {
  /** As openssl takes it, for example `/CN=alice`. */
  readonly subject: string;
  /** For example `DNS:a.example,URI:spiffe://a`. */
  readonly alternativeNames?: string;
  /** Who signs; by itself when left out. */
  readonly issuer?: Certificate;
  /** What it is good for, for example `clientAuth`. */
  readonly usage?: string;
}

/** Makes `<name>.pem` and `<name>.key` in the directory. */
export async function makeCertificate(
  directory: string,
  name: string,
  { subject, alternativeNames, issuer, usage }: CertificateRequest,
): Promise<Certificate> {
  const [path, keyPath] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  const extensions = [
    ...(alternativeNames === undefined ? [] : [`subjectAltName=${alternativeNames}`]),
    ...(usage === undefined ? [] : [`extendedKeyUsage=${usage}`]),
    `basicConstraints=CA:${issuer === undefined ? "TRUE" : "FALSE"}`,
  ];
  await promisify(execFile)("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
    ...["-subj", subject, "-keyout", keyPath, "-out", path],
    ...extensions.flatMap((extension) => ["-addext", extension]),
    ...(issuer === undefined ? [] : ["-CA", issuer.path, "-CAkey", issuer.keyPath]),
  ]);
  const [cert, key] = await Promise.all([readFile(path), readFile(keyPath)]);
  return { path, keyPath, cert, key };
}
