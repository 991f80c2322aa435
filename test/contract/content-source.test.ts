import { contentSourceContract } from "./content-source.ts";
import { directoryStorage } from "./content-source-directory.ts";
import { contentFilesContract } from "./content-source-files.ts";
import { cachedS3Storage, s3Storage } from "./content-source-s3.ts";

contentSourceContract("directory", directoryStorage);
contentFilesContract("directory", directoryStorage);

contentSourceContract("S3", () => s3Storage());
contentFilesContract("S3", () => s3Storage());
contentFilesContract("S3 with a cache", cachedS3Storage);
