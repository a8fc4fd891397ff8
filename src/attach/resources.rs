//! The document of the resources one by one.

use super::capture::{CaptureOptions, Reading, Subject};
use super::collect::{self, census::notes, resources::Selection};
use super::documents::capture_info;
use super::sockets::Around;
use super::{AttachError, Target};
use crate::resources::{Catalog, Detail, SocketFacts};
use crate::snapshot::{Coverage, ResourcesDocument, VERSION};
use std::time::Instant;

impl Target {
    /// The resources that are wanted, one by one.
    pub fn resources(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
        selection: &Selection,
    ) -> Result<ResourcesDocument, AttachError> {
        let begun = Instant::now();
        let everything = Detail::Everything;
        let mut kernel = Around::if_asked(self, options, catalog, selection, everything);
        let picture = self.picture(options, Subject::Heap, &mut |view| {
            kernel.iter_mut().for_each(|around| around.picture(view.held));
            let found = collect::resources::collect(
                view.python,
                self.runtime,
                view.interpreters,
                catalog,
                selection,
                kernel.as_ref().map(|around| around as &dyn SocketFacts),
            )?;
            Ok(Reading { consistent: found.census.is_consistent(), value: found })
        })?;
        let found = &picture.value;
        let coverage = Coverage {
            objects: Some(found.census.objects),
            unreadable: found.unreadable,
            broken_lists: Some(found.census.breaks.len() as u64),
            collecting: Some(found.census.collecting),
            ..Coverage::default()
        };
        let capture = capture_info(&picture, begun, coverage, notes(&found.census));
        let process = self.process_info()?;
        let found = picture.value;
        Ok(ResourcesDocument {
            schema: ResourcesDocument::SCHEMA,
            pyattach: VERSION,
            process,
            capture,
            kinds: found.kinds,
            resources: found.rows,
        })
    }
}
