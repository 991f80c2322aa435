import type { ContentFile } from "../domain/content-source.ts";

/**
 * Where nginx finds a file, for `X-Accel-Redirect`: undefined when it can't see the file. nginx decodes it.
 *
 * @param prefix path of an internal location over the content root, with a slash at its end
 */
export function redirectFor({ path }: ContentFile, prefix: string): string | undefined {
  return path === undefined ? undefined : prefix + path.split("/").map(encodeURIComponent).join("/");
}
