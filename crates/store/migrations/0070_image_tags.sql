-- Names that point at images and may be moved, as in debian:12. The family is what is before the colon.
CREATE TABLE image_tags (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    tag TEXT NOT NULL,
    family TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, tag)
);
CREATE INDEX image_tags_image ON image_tags (image_id);

-- The default command line of the image that an instance was made of, as it was then; none for instances
-- from before, of which it is not known any more if the image was changed.
ALTER TABLE instances ADD COLUMN image_command_line TEXT;
