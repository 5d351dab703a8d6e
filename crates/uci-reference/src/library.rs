//! What libuci reads of a text, and writes of what it has read.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use libuci_sys::{
    uci_alloc_context, uci_context, uci_element, uci_export, uci_free_context, uci_get_errorstr,
    uci_import, uci_list, uci_option, uci_option_type_UCI_TYPE_STRING, uci_package, uci_section,
};

/// A package as libuci has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub sections: Vec<Section>,
    /// What it writes of it, as `uci export` and a commit do.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub kind: String,
    /// Its name, or the id that it gets where it has none.
    pub name: String,
    pub anonymous: bool,
    pub options: Vec<(String, Value)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    One(String),
    List(Vec<String>),
}

/// Why libuci did not read a text, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    /// Whether it may be because a section was named a third time, which later versions read.
    pub fn is_third_mention(&self) -> bool {
        self.0.contains("found before the first section")
    }
}

/// Reads the text of a package's file.
///
/// # Errors
/// What libuci says.
///
/// # Panics
/// Where there is no memory, or `name` has a zero byte.
pub fn read(name: &str, text: &str) -> Result<Package, Refusal> {
    let name = CString::new(name).expect("a name has no zero byte");
    let mut found = import(Some(&name), text)?;
    Ok(found.remove(0))
}

/// Reads the text of an export of any number of packages.
///
/// # Errors
/// What libuci says.
///
/// # Panics
/// Where there is no memory.
pub fn read_export(text: &str) -> Result<Vec<Package>, Refusal> {
    import(None, text)
}

fn import(name: Option<&CString>, text: &str) -> Result<Vec<Package>, Refusal> {
    let mut bytes = text.as_bytes().to_vec();
    // SAFETY: the context and the stream are ours alone, and freed once; `bytes` outlives the stream. libuci's
    // lists are not changed while they are walked.
    unsafe {
        let context = uci_alloc_context();
        assert!(!context.is_null(), "no memory");
        let stream = libc::fmemopen(
            bytes.as_mut_ptr().cast::<c_void>(),
            bytes.len(),
            c"r".as_ptr(),
        );
        assert!(!stream.is_null(), "no memory");
        let mut package: *mut uci_package = ptr::null_mut();
        let name_text = name.map_or(ptr::null(), |name| name.as_ptr());
        let result = uci_import(
            context,
            stream.cast(),
            name_text,
            &raw mut package,
            name.is_some(),
        );
        libc::fclose(stream);
        let found = match result {
            0 => Ok(elements(&raw const (*context).root)
                .into_iter()
                .map(|element| package_of(context, element.cast()))
                .collect()),
            _ => Err(refusal(context)),
        };
        uci_free_context(context);
        found
    }
}

unsafe fn refusal(context: *mut uci_context) -> Refusal {
    let mut message: *mut c_char = ptr::null_mut();
    // SAFETY: the message is a new one, and freed once.
    unsafe {
        uci_get_errorstr(context, &raw mut message, ptr::null());
        let text = string(message);
        libc::free(message.cast());
        Refusal(text)
    }
}

/// All elements of a list; the head, which is none itself, is in whatever the list belongs to.
unsafe fn elements(head: *const uci_list) -> Vec<*const uci_element> {
    let mut found = Vec::new();
    // SAFETY: libuci's lists are rings, and every link but the head is at the start of an element.
    unsafe {
        let mut link = (*head).next.cast_const();
        while link != head {
            found.push(link.cast::<uci_element>());
            link = (*link).next;
        }
    }
    found
}

unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: libuci's texts end in a zero byte.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_string_lossy().into_owned()
}

unsafe fn package_of(context: *mut uci_context, package: *const uci_package) -> Package {
    // SAFETY: an element of the context's list of packages is the start of a package.
    unsafe {
        let sections = elements(&raw const (*package).sections);
        Package {
            name: string((*package).e.name),
            sections: sections
                .into_iter()
                .map(|element| section_of(element.cast()))
                .collect(),
            text: written(context, package.cast_mut()),
        }
    }
}

unsafe fn section_of(section: *const uci_section) -> Section {
    // SAFETY: an element of a package's list of sections is the start of a section.
    unsafe {
        let options = elements(&raw const (*section).options);
        Section {
            kind: string((*section).type_),
            name: string((*section).e.name),
            anonymous: (*section).anonymous,
            options: options
                .into_iter()
                .map(|element| option_of(element.cast()))
                .collect(),
        }
    }
}

unsafe fn option_of(option: *const uci_option) -> (String, Value) {
    // SAFETY: an element of a section's list of options is the start of an option, whose type says which
    // member of the union it is. The items of a list are in their names.
    unsafe {
        let value = if (*option).type_ == uci_option_type_UCI_TYPE_STRING {
            Value::One(string((*option).v.string))
        } else {
            let items = elements(&raw const (*option).v.list);
            Value::List(items.into_iter().map(|item| string((*item).name)).collect())
        };
        (string((*option).e.name), value)
    }
}

unsafe fn written(context: *mut uci_context, package: *mut uci_package) -> String {
    let (mut buffer, mut length) = (ptr::null_mut::<c_char>(), 0);
    // SAFETY: the stream makes the buffer, which is read after it is closed, and freed once.
    unsafe {
        let stream = libc::open_memstream(&raw mut buffer, &raw mut length);
        assert!(!stream.is_null(), "no memory");
        let result = uci_export(context, stream.cast(), package, false);
        libc::fclose(stream);
        assert_eq!(result, 0, "libuci does not write what it has read");
        let text = string(buffer);
        libc::free(buffer.cast());
        text
    }
}
